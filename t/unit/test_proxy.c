/* Tests of proxy: what a URL comes to, and how proxies are told apart and found again. What is refused is shown by
 * t/config/a-proxy-must-be-a-usable-url.t. */
#include "proxy.h"
#include "unit.h"

static const kohomai_proxy_t *add(kohomai_proxies_t *proxies, const char *text)
{
    const kohomai_proxy_t *proxy = NULL;
    const char *fault = kohomai_proxies_add(proxies, text, &proxy);

    expect(!fault && proxy, "%s: %s", text, fault ? fault : "is taken");
    return proxy;
}

static void a_url_comes_apart(apr_pool_t *pool)
{
    static const struct {
        const char *text, *label, *user, *password, *shown;
        int tls, http;
    } rows[] = {
        {"http://proxy:3128", "http://proxy:3128", NULL, NULL, "http://proxy:3128", 0, 1},
        {"HTTPS://PROXY:443/", "https://proxy:443", NULL, NULL, "https://proxy:443", 1, 1},
        {"http://a:b@proxy:80", "http://proxy:80", "a", "b", "http://***:***@proxy:80", 0, 1},
        {"socks5://a:@[::1]:1", "socks5://[::1]:1", "a", "", "socks5://***:***@[::1]:1", 0, 0},
        {"socks4a://a@1.2.3.4:1080", "socks4a://1.2.3.4:1080", "a", "",
         "socks4a://***:***@1.2.3.4:1080", 0, 0},
        {"socks5h://%41:b:%40@p:1", "socks5h://p:1", "A", "b:@", NULL, 0, 0},
        {"http://a:%C3%A9@p:1", "http://p:1", "a", "\xc3\xa9", NULL, 0, 1},
    };
    apr_size_t i;

    for (i = 0; i < ROWS(rows); i++) {
        const char *text = rows[i].text;
        const kohomai_proxy_t *proxy = add(kohomai_proxies_of(pool), text);

        if (!proxy) {
            continue;
        }
        expect(same(proxy->label, rows[i].label), "%s: label %s", text, proxy->label);
        expect(same(proxy->user, rows[i].user), "%s: user %s", text, proxy->user);
        expect(same(proxy->password, rows[i].password), "%s: password %s", text, proxy->password);
        expect(proxy->tls == rows[i].tls && proxy->http == rows[i].http, "%s: kind", text);
        expect(!rows[i].shown || same(kohomai_proxy_mask(pool, proxy), rows[i].shown),
               "%s: is shown as %s", text, kohomai_proxy_mask(pool, proxy));
    }
}

static void one_of_several_is_found_by_its_label(apr_pool_t *pool)
{
    kohomai_proxies_t *proxies = kohomai_proxies_of(pool);
    const kohomai_proxy_t *first = add(proxies, "http://a:b@proxy:3128");
    const kohomai_proxy_t *second = add(proxies, "socks5h://proxy:3128");

    expect(kohomai_proxies_of(pool) == proxies, "a configuration has one list");
    expect(kohomai_proxies_find(proxies, "http://proxy:3128") == first, "the first");
    expect(kohomai_proxies_find(proxies, "socks5h://proxy:3128") == second, "the second");
    expect(!kohomai_proxies_find(proxies, "https://proxy:3128"), "no other");
    expect(!kohomai_proxies_find(proxies, ""), "none without a label");
    expect(add(proxies, "HTTP://a:b@PROXY:3128/") == first, "the same again is the same");
}

static void two_users_of_one_proxy_contest_it(apr_pool_t *pool)
{
    kohomai_proxies_t *proxies = kohomai_proxies_of(pool);
    const kohomai_proxy_t *alice = add(proxies, "http://alice:x@proxy:3128");
    const kohomai_proxy_t *other = add(proxies, "http://alice:x@proxy:3129");
    const kohomai_proxy_t *bob, *nobody;

    add(proxies, "http://alice:x@proxy:3128");
    expect(!alice->contested && !other->contested, "alone, each is safe");
    nobody = add(proxies, "http://proxy:3128");
    bob = add(proxies, "http://alice:y@proxy:3128");
    expect(alice->contested && bob->contested && nobody->contested, "together they are not");
    expect(!other->contested, "another port is another proxy");
    expect(kohomai_proxies_find(proxies, "http://proxy:3128") == alice, "the first one is found");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(a_url_comes_apart),
        UNIT(one_of_several_is_found_by_its_label),
        UNIT(two_users_of_one_proxy_contest_it),
    };

    return UNIT_MAIN(tests);
}
