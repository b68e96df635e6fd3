<?php
// The sign-in form. The password is checked by the web server: this page never sees it.
declare(strict_types=1);
require __DIR__ . '/../layout.php';

// Where a visitor who was on the way somewhere goes on to; only places of this list.
$onward = ['onboarding' => '/onboarding'][$_GET['to'] ?? ''] ?? '/account';

page_start('Sign in', '/sign-in');
if (isset($_GET['again'])) {
    echo "<p class=\"notice\" role=\"alert\">That name and password do not belong together. Please try again.</p>\n";
}
?>
<form method="post" action="/sign-in/check" class="card">
  <p class="field"><label for="name">Name</label>
    <input id="name" name="httpd_username" autocomplete="username" autocapitalize="none" required></p>
  <p class="field"><label for="password">Password</label>
    <input id="password" name="httpd_password" type="password" autocomplete="current-password" required></p>
  <input type="hidden" name="httpd_location" value="<?= text($onward) ?>">
  <button type="submit">Sign in</button>
</form>
<p>Not a member yet? <a href="/join">Join Juniper</a>.</p>
<?php page_end();
