// What a fit will need, told before it is allocated.
#ifndef EMSERVE_SERVER_JOBS_FIT_MEMORY_H_
#define EMSERVE_SERVER_JOBS_FIT_MEMORY_H_

#include <cstdint>

#include "core/data/table.h"
#include "core/em/model.h"
#include "core/families.h"
#include "server/jobs/fit_plan.h"

namespace emserve::server {

// Bytes of the blocks in which a pass over `table` reads it, labels included.
int64_t BlockBytes(const Table& table, int num_threads);

// `options` without what costs memory of its own beside the parameters: constraints, those of
// transitions too, and priors of matrices. Its model has the same parameters, and making it
// allocates nothing of their size.
ModelOptions Bare(ModelOptions options);

// Doubles that messages between the blocks of `partition` take, with what makes them (messages.h);
// 0 for models whose rows do not depend on each other.
double ChainDoubles(const Model& model, const Partition& partition, int num_threads);

// Bytes that Fit will use: per concurrent restart the statistics of every lane, prepared parameters
// and a block per thread, messages, and the sample from which starts are drawn; a narrow copy of
// the cells; constraints and priors; the statistics of an update's past, and their sum with the new
// ones. `model` may be that of Bare(request.model).
int64_t FitBytes(const Model& model, const Table& table, const FitRequest& request,
                 int num_threads);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_JOBS_FIT_MEMORY_H_
