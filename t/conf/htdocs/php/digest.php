<?php
// Says what it got: the length and the MD5 of the request's body.
$body = file_get_contents('php://input');
header('Content-Type: text/plain');
echo strlen($body), ' ', md5($body), ' told=', $_SERVER['CONTENT_LENGTH'] ?? 'no', "\n";
