<?php
// Shows what httpd gives to an application: one NAME=VALUE a line.
header('Content-Type: text/plain');
ksort($_SERVER);
foreach ($_SERVER as $name => $value) {
    if (is_scalar($value)) {
        echo "$name=$value\n";
    }
}
