<?php
// Sends the request's body back as it came; the rest of the request stands in X-Echo-* headers.
$body = file_get_contents('php://input');

$facts = ['REQUEST_METHOD', 'REQUEST_URI', 'PATH_INFO', 'QUERY_STRING', 'CONTENT_TYPE', 'CONTENT_LENGTH', 'REMOTE_USER'];
foreach ($facts as $name) {
    if (isset($_SERVER[$name])) {
        header('X-Echo-' . strtr($name, '_', '-') . ': ' . $_SERVER[$name]);
    }
}
// A multipart body is PHP's own to read: then its fields are what can be shown.
header('X-Echo-Fields: ' . json_encode($_POST));
header('X-Echo-Files: ' . json_encode(array_map(fn ($file) => [$file['name'], $file['size'], sha1_file($file['tmp_name'])], $_FILES)));
header('Content-Type: application/octet-stream');
echo $body;
