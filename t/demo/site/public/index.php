<?php
// The home page. It never asks who is reading.
declare(strict_types=1);
require __DIR__ . '/../layout.php';

page_start('Power from your own neighbourhood', '/');
?>
<p class="lead">Juniper is a cooperative: 2,300 households who own three wind turbines, eleven solar roofs
and one very reliable battery. Members buy what they make together, at cost.</p>
<p class="actions">
  <a class="button" href="/join">Join Juniper</a>
  <a class="button quiet" href="/sign-in">I am a member</a>
</p>
<section class="columns" aria-label="How it works">
  <div><h2>Join</h2><p>Tell us who you are. It takes a minute, and you may leave whenever you like.</p></div>
  <div><h2>Get to know us</h2><p>A short introduction shows how we decide, what we own, and what you pay.</p></div>
  <div><h2>Switch</h2><p>We tell your old supplier. The lights stay on; only the bill looks different.</p></div>
</section>
<?php page_end();
