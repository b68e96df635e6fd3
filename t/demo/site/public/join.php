<?php
// The page with the empty sign-up form.
declare(strict_types=1);
require __DIR__ . '/../layout.php';
require __DIR__ . '/../join-form.php';

page_start('Join Juniper', '/join');
echo "<p>We only need your email address. Your name lets us greet you properly.</p>\n";
join_form();
page_end();
