<?php
// Takes the sign-up form: checks it, keeps it (one line of JSON each) and says thank you.
// It never sends anything anywhere; a person at Juniper reads the file.
declare(strict_types=1);
require __DIR__ . '/../layout.php';
require __DIR__ . '/../join-form.php';

const FIELDS = ['Firstname', 'Lastname', 'Email'];

function posted_fields(): array
{
    $values = [];
    foreach (FIELDS as $name) {
        $value = $_POST[$name] ?? '';
        $values[$name] = is_string($value) ? trim($value) : '';
    }
    return $values;
}

function problems(array $values): array
{
    $errors = [];
    foreach ($values as $name => $value) {
        if (strlen($value) > 254 || !preg_match('/^[^\p{Cc}]*$/u', $value)) {
            $errors[$name] = 'Please check this: it is too long, or holds something that is no letter.';
        }
    }
    if (!preg_match('/^[^\s@]+@[^\s@]+$/u', $values['Email'])) {
        $errors['Email'] = 'Please give an email address, such as name@example.com.';
    }
    return $errors;
}

function keep(array $values): bool
{
    $line = json_encode($values, JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES) . "\n";
    return file_put_contents(getenv('SIGNUPS'), $line, FILE_APPEND | LOCK_EX) === strlen($line);
}

if ($_SERVER['REQUEST_METHOD'] !== 'POST') {
    header('Location: /join', true, 303);
    exit;
}

$values = posted_fields();
$errors = problems($values);
if ($errors) {
    http_response_code(422);
    page_start('Join Juniper', '/join');
    echo "<p class=\"notice\" role=\"alert\">Something is missing or not quite right.</p>\n";
    join_form($values, $errors);
} elseif (!keep($values)) {
    http_response_code(500);
    page_start('That did not work', '/join');
    echo "<p class=\"notice\" role=\"alert\">We could not keep your details. Please try again later.</p>\n";
} else {
    $name = $values['Firstname'] === '' ? '' : ', ' . $values['Firstname'];
    page_start("Thank you$name", '/join');
    echo "<p class=\"lead\">We have your details, and will write to ", text($values['Email']), " soon.</p>\n";
}
page_end();
