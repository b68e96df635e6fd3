<?php
// A member's own page. The web server lets only signed-in members come here, and names them in REMOTE_USER.
declare(strict_types=1);
require __DIR__ . '/../layout.php';

page_start('My account', '/account', true);
?>
<p class="lead">Signed in as <strong><?= text($_SERVER['REMOTE_USER'] ?? '') ?></strong></p>
<section class="card">
  <h2>Getting started</h2>
  <p>A few short steps show you around. You can stop at any time, and go on from here later.</p>
  <p class="actions"><a class="button" href="/onboarding">Continue my onboarding</a></p>
</section>
<?php page_end();
