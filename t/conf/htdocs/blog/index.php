<?php
// The front controller: it says which path it was called for, and what it was sent.
header('Content-Type: text/plain; charset=utf-8');
header('X-Front-Controller: blog');
echo $_SERVER['REQUEST_METHOD'], ' ', $_SERVER['REQUEST_URI'], "\n", file_get_contents('php://input');
