/* reason: why a call came to no answer, in a sentence for whoever reads the log: what is wrong, and
 * who can mend it how.
 * Threads: the one that owns the handle. Memory: constant sentences.
 * Never: repeats a word that came from outside. */
#include "reason.h"

#include <string.h>

/* A sentence each for the two whose certificates are checked. */
typedef struct {
    const char *api, *proxy;
} pair_t;

#define OF_CERTIFICATE(rest)                                           \
    {                                                                  \
        "the API's certificate " rest, "the proxy's certificate " rest \
    }
#define OF_SERVER(rest)                    \
    {                                      \
        "the API " rest, "the proxy " rest \
    }

/* ---- certificates ---- */

static const pair_t too_early = OF_CERTIFICATE(
    "is not valid yet: set this machine's clock right, or let whoever runs the server mend it");
static const pair_t too_late = OF_CERTIFICATE(
    "has expired: whoever runs the server must renew it; is this machine's clock right?");
static const pair_t self_signed =
    OF_CERTIFICATE("is signed by nobody but itself: the server needs one from a CA, or name the "
                   "certificate's file in KohomaiCAFile");
static const pair_t unknown_ca = OF_CERTIFICATE(
    "comes from a CA that is not known here, or the server leaves out the certificates between: "
    "name the file of that CA's certificate in KohomaiCAFile");
static const pair_t not_a_servers =
    OF_CERTIFICATE("is not one for servers: whoever runs the server needs another");
static const pair_t weak_key = OF_CERTIFICATE(
    "has a key that is too weak: whoever runs the server needs one with RSA of 2048 bits or more, "
    "or an elliptic curve");
static const pair_t weak_ca =
    OF_CERTIFICATE("comes from a CA whose key is too weak: whoever runs the server needs another");
static const pair_t weak_signature = OF_CERTIFICATE(
    "is signed with SHA-1 or weaker: whoever runs the server needs one signed with SHA-256");
static const pair_t wrong_host = {
    "the API's certificate names other hosts: is the host of KohomaiBaseURL right?",
    "the proxy's certificate names other hosts: is the host of KohomaiProxy right?"};
static const pair_t not_trusted = OF_CERTIFICATE(
    "is not trusted: it may be expired, of an unknown CA, or too weak; `openssl s_client -connect "
    "HOST:PORT` shows it, and KohomaiCAFile names CAs to trust");

/* OpenSSL's verdicts: its <openssl/x509_vfy.h>, X509_V_ERR_... */
static const struct {
    long verdict;
    const pair_t *sentence;
} verdicts[] = {
    {2, &unknown_ca},     /* UNABLE_TO_GET_ISSUER_CERT */
    {9, &too_early},      /* CERT_NOT_YET_VALID */
    {10, &too_late},      /* CERT_HAS_EXPIRED */
    {18, &self_signed},   /* DEPTH_ZERO_SELF_SIGNED_CERT */
    {19, &unknown_ca},    /* SELF_SIGNED_CERT_IN_CHAIN */
    {20, &unknown_ca},    /* UNABLE_TO_GET_ISSUER_CERT_LOCALLY */
    {21, &unknown_ca},    /* UNABLE_TO_VERIFY_LEAF_SIGNATURE */
    {26, &not_a_servers}, /* INVALID_PURPOSE */
    {66, &weak_key},      /* EE_KEY_TOO_SMALL */
    {67, &weak_ca},       /* CA_KEY_TOO_SMALL */
    {68, &weak_signature} /* CA_MD_TOO_WEAK */
};

/* Other libraries count in another way. */
static int is_openssl(void)
{
    const char *library = curl_version_info(CURLVERSION_NOW)->ssl_version;

    return library && strncmp(library, "OpenSSL/", 8) == 0;
}

static const pair_t *of_certificate(const kohomai_failure_t *failure, int at_proxy)
{
    long verdict = 0;
    size_t i;

    if (strstr(failure->said, "subject name")) {
        return &wrong_host; /* libcurl's own check, whatever the library */
    }
    curl_easy_getinfo(failure->easy,
                      at_proxy ? CURLINFO_PROXY_SSL_VERIFYRESULT : CURLINFO_SSL_VERIFYRESULT,
                      &verdict);
    for (i = 0; is_openssl() && i < sizeof(verdicts) / sizeof(verdicts[0]); i++) {
        if (verdicts[i].verdict == verdict) {
            return verdicts[i].sentence;
        }
    }
    return &not_trusted;
}

/* ---- handshakes ---- */

static const pair_t no_tls = OF_SERVER(
    "does not speak TLS at that port: is the port right? http:// is for this machine alone");
static const pair_t old_tls = OF_SERVER(
    "speaks only TLS versions older than 1.2, which can be broken: whoever runs the server must "
    "allow TLS 1.2 or 1.3");
static const pair_t no_handshake =
    OF_SERVER("and this machine could not agree on TLS: `openssl s_client -connect HOST:PORT` "
              "shows more");

/* What the libraries (OpenSSL, GnuTLS) say where a handshake comes to nothing. */
static const struct {
    const char *said;
    const pair_t *sentence;
} handshakes[] = {{"wrong version number", &no_tls},  {"packet length too long", &no_tls},
                  {"unexpected TLS packet", &no_tls}, {"unsupported protocol", &old_tls},
                  {"protocol version", &old_tls},     {"unsupported version", &old_tls}};

static const pair_t *of_handshake(const kohomai_failure_t *failure)
{
    size_t i;

    for (i = 0; i < sizeof(handshakes) / sizeof(handshakes[0]); i++) {
        if (strstr(failure->said, handshakes[i].said)) {
            return handshakes[i].sentence;
        }
    }
    return &no_handshake;
}

/* ---- proxies ---- */

static long connect_status(const kohomai_failure_t *failure)
{
    long status = 0;

    curl_easy_getinfo(failure->easy, CURLINFO_HTTP_CONNECTCODE, &status);
    return status;
}

static const char *of_http_proxy(long status)
{
    switch (status) {
    case 0:
        return "what answers at the proxy's address is no HTTP proxy: is KohomaiProxy right?";
    case 407:
        return "the proxy asks for another user or password (407): write the right ones into "
               "KohomaiProxy";
    case 502:
    case 503:
    case 504:
        return "the proxy has no connection to the API (502, 503 or 504): is the host of "
               "KohomaiBaseURL right, and may the proxy reach it?";
    default:
        return "the proxy refused to connect to the API: whoever runs it must allow CONNECT to the "
               "host and port of KohomaiBaseURL";
    }
}

static const char *of_socks_proxy(const kohomai_failure_t *failure)
{
    CURLproxycode why = CURLPX_OK;
    long number = 0;

    curl_easy_getinfo(failure->easy, CURLINFO_PROXY_ERROR, &number);
    why = (CURLproxycode)number;
    switch (why) {
    case CURLPX_NO_AUTH:
    case CURLPX_USER_REJECTED:
    case CURLPX_IDENTD:
    case CURLPX_IDENTD_DIFFER:
        return "the proxy asks for another user or password: write the right ones into "
               "KohomaiProxy";
    case CURLPX_REPLY_NOT_ALLOWED:
    case CURLPX_REPLY_COMMAND_NOT_SUPPORTED:
    case CURLPX_REQUEST_FAILED:
        return "the proxy refused to connect to the API: whoever runs it must allow the host and "
               "port of KohomaiBaseURL";
    case CURLPX_REPLY_CONNECTION_REFUSED:
    case CURLPX_REPLY_HOST_UNREACHABLE:
    case CURLPX_REPLY_NETWORK_UNREACHABLE:
    case CURLPX_REPLY_GENERAL_SERVER_FAILURE:
    case CURLPX_REPLY_TTL_EXPIRED:
        return "the proxy has no connection to the API: is the host of KohomaiBaseURL right, and "
               "may the proxy reach it?";
    case CURLPX_RESOLVE_HOST:
        return "the API's host has no address here: write socks5h:// into KohomaiProxy to let the "
               "proxy look it up";
    case CURLPX_REPLY_ADDRESS_TYPE_NOT_SUPPORTED:
        return "the proxy cannot connect to that kind of address: write socks5h:// into "
               "KohomaiProxy";
    default:
        return "what answers at the proxy's address is no SOCKS proxy of that version: is "
               "KohomaiProxy right?";
    }
}

/* Whether it was the proxy that did not open a way; NULL if not. */
static const char *of_proxy(const kohomai_failure_t *failure)
{
    long status = connect_status(failure);

    switch (failure->code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
        return "the proxy's host has no address: is KohomaiProxy right?";
    case CURLE_COULDNT_CONNECT:
        return status ? of_http_proxy(status)
                      : "no connection to the proxy: is KohomaiProxy right, and is it running?";
    case CURLE_PROXY:
        return failure->proxy->http ? of_http_proxy(status) : of_socks_proxy(failure);
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return failure->proxy->http && !failure->sent && status / 100 != 2 ? of_http_proxy(status)
                                                                           : NULL;
    default:
        return NULL;
    }
}

/* ---- time ---- */

static int has_address(const kohomai_failure_t *failure)
{
    curl_off_t microseconds = 0;

    curl_easy_getinfo(failure->easy, CURLINFO_NAMELOOKUP_TIME_T, &microseconds);
    return microseconds > 0;
}

static const char *of_time(const kohomai_failure_t *failure)
{
    if (failure->sent) {
        return "the API did not answer within KohomaiTimeout";
    }
    if (!has_address(failure)) {
        return "the name server did not answer in time: is this machine's name server well?";
    }
    if (failure->proxy && connect_status(failure) / 100 != 2) {
        return "no connection through the proxy in time: is KohomaiProxy right, does a firewall let "
               "it through, and is the proxy well?";
    }
    return "no connection to the API in time: does a firewall let it through, and is the API well?";
}

/* ---- all of it ---- */

/* Where nothing has come through an https proxy yet, it is the proxy whose TLS is meant. */
static int is_at_proxy(const kohomai_failure_t *failure)
{
    return failure->proxy && failure->proxy->tls && !connect_status(failure);
}

static const char *choose(const kohomai_failure_t *failure, const pair_t *pair)
{
    return is_at_proxy(failure) ? pair->proxy : pair->api;
}

const char *kohomai_reason_of(const kohomai_failure_t *failure)
{
    const char *sentence = failure->proxy ? of_proxy(failure) : NULL;

    if (sentence) {
        return sentence;
    }
    switch (failure->code) {
    case CURLE_OPERATION_TIMEDOUT:
        return of_time(failure);
    case CURLE_COULDNT_RESOLVE_HOST:
        return "the API's host has no address: is KohomaiBaseURL right, and this machine's name "
               "server well?";
    case CURLE_COULDNT_CONNECT:
        return "no connection to the API: is KohomaiBaseURL right, and does a firewall let it "
               "through?";
    case CURLE_PEER_FAILED_VERIFICATION:
        return choose(failure, of_certificate(failure, is_at_proxy(failure)));
    case CURLE_SSL_CONNECT_ERROR:
        return choose(failure, of_handshake(failure));
    case CURLE_SSL_CACERT_BADFILE:
        return "the file of KohomaiCAFile holds no certificate, or the user that httpd's children "
               "run as cannot read it";
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return "what the API answered is not HTTP: is the port of KohomaiBaseURL right?";
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_PARTIAL_FILE:
    case CURLE_SEND_FAIL_REWIND: /* it would have been sent again, had that been allowed */
        return "the API closed the connection before its answer was there";
    default:
        return curl_easy_strerror(failure->code);
    }
}
