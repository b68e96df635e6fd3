/* log: keeps what visitors sent, and the link, out of the lines that the log gets about a request.
 * Threads: the request's own. Memory: the request's pool.
 * Never: decides what is worth a line. */
#ifndef KOHOMAI_LOG_H
#define KOHOMAI_LOG_H

#include <httpd.h>

/* Logs a sentence about r, at one of httpd's levels (APLOG_WARNING). httpd would put the Referer
 * behind it, in which the query of a form may stand: here it does not. */
void kohomai_log_line(request_rec *r, int level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* From here on httpd traces no header of r's answer: at `http:trace4` it would write the link. */
void kohomai_log_hush(request_rec *r);

#endif
