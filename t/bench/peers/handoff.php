<?php
// The handoff as a site's own PHP does it. PHP's curl has no way to keep a connection for the next request.
preg_match('#^/([ct])/([a-z0-9]+)/onboarding#', $_SERVER['REQUEST_URI'], $asked);
$api = $_SERVER[$asked[1] === 't' ? 'API_TLS' : 'API_CLEAR'];
$journey = preg_replace('/\D/', '', $_GET['j'] ?? '');

$call = curl_init("$api/$asked[2]/api/v1/sessions");
curl_setopt_array($call, [
    CURLOPT_POSTFIELDS     => "{\"Journey\":{\"Id\":$journey}}",
    CURLOPT_HTTPHEADER     => ['Authorization: Bearer bench-key', 'Content-Type: application/json', 'Accept: application/json'],
    CURLOPT_RETURNTRANSFER => true,
    CURLOPT_TIMEOUT        => 60,
    CURLOPT_CAINFO         => $_SERVER['API_CA'],
]);
$answer = json_decode((string) curl_exec($call), true);
if (curl_getinfo($call, CURLINFO_RESPONSE_CODE) !== 200 || !isset($answer['ConnectionURL'])) {
    http_response_code(502);
    exit;
}
header('Cache-Control: no-store');
header('Location: ' . $answer['ConnectionURL'], true, 302);
