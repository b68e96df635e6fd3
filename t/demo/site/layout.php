<?php
// The frame around every page of the demo site: page_start() opens it, page_end() closes it.
// It never reads the request, and it knows nothing of onboarding.
declare(strict_types=1);

function text(string $value): string
{
    return htmlspecialchars($value, ENT_QUOTES | ENT_SUBSTITUTE, 'UTF-8');
}

function nav_link(string $path, string $label, string $here): string
{
    $current = $path === $here ? ' aria-current="page"' : '';
    return "<li><a href=\"$path\"$current>$label</a></li>";
}

function page_start(string $title, string $here, bool $signedIn = false): void
{
    header('Content-Type: text/html; charset=utf-8');
    $door = $signedIn ? nav_link('/sign-out', 'Sign out', $here) : nav_link('/sign-in', 'Sign in', $here);
    $links = nav_link('/', 'Home', $here) . nav_link('/account', 'My account', $here)
           . nav_link('/join', 'Join', $here) . $door;
    ?>
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title><?= text($title) ?> · Juniper Energy</title>
<link rel="stylesheet" href="/style.css">
<link rel="icon" href="/juniper.svg">
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header>
  <a class="brand" href="/"><img src="/juniper.svg" alt="" width="32" height="32"> Juniper Energy</a>
  <nav aria-label="Main"><ul><?= $links ?></ul></nav>
</header>
<main id="content">
<h1><?= text($title) ?></h1>
<?php
}

function page_end(): void
{
    ?>
</main>
<footer><p>Juniper Energy is a cooperative of neighbours who own their power together.</p></footer>
</body>
</html>
<?php
}
