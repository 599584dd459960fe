#ifndef MIDTRAIN_C_ALLOCATIONS_H
#define MIDTRAIN_C_ALLOCATIONS_H

/// Calls of malloc, calloc and realloc in this process so far.
long allocation_calls(void);

#endif
