/* error.h - the error codes, inside the house: portico.h has the list.   Layer: base.
 * OS codes are translated where they are born (os/socket.h); above os/ there are only these. */
#ifndef PORTICO_BASE_ERROR_H
#define PORTICO_BASE_ERROR_H
#include "portico.h"

#endif
