<?php
// The sign-up form, shown empty by join.php and shown again, with what was wrong, by signup.php.
// It never keeps anything.
declare(strict_types=1);

function join_field(string $name, string $label, string $attributes, array $values, array $errors): void
{
    $value = text($values[$name] ?? '');
    $error = $errors[$name] ?? '';
    $described = $error === '' ? '' : " aria-invalid=\"true\" aria-describedby=\"$name-error\"";
    echo "<p class=\"field\"><label for=\"$name\">$label</label>",
         "<input id=\"$name\" name=\"$name\" value=\"$value\" $attributes$described>";
    if ($error !== '') {
        echo "<span class=\"error\" id=\"$name-error\">", text($error), '</span>';
    }
    echo "</p>\n";
}

function join_form(array $values = [], array $errors = []): void
{
    echo "<form method=\"post\" action=\"/signup\" class=\"card\">\n";
    join_field('Firstname', 'First name', 'autocomplete="given-name"', $values, $errors);
    join_field('Lastname', 'Last name', 'autocomplete="family-name"', $values, $errors);
    join_field('Email', 'Email', 'type="email" autocomplete="email" required', $values, $errors);
    echo "<button type=\"submit\">Join Juniper</button>\n</form>\n";
}
