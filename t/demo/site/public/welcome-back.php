<?php
// Where members land once they have been shown around.
declare(strict_types=1);
require __DIR__ . '/../layout.php';

page_start('Welcome back', '/welcome-back');
?>
<p class="lead">That was everything: you know your way around now.</p>
<p class="actions"><a class="button" href="/account">To my account</a> <a class="button quiet" href="/">Home</a></p>
<?php page_end();
