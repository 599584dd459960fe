// OpenBLAS's C interface, and the parts of it that its header leaves out.
#include <cblas.h>
