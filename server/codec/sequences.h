// Sequences: how a request cuts the rows of its table.
#ifndef EMSERVE_SERVER_CODEC_SEQUENCES_H_
#define EMSERVE_SERVER_CODEC_SEQUENCES_H_

#include <string>

#include "absl/status/statusor.h"
#include "emserve/v1/tensor.pb.h"
#include "server/jobs/table_sequences.h"

namespace emserve::server {

// InvalidArgument under `path`: neither a column nor lengths. What they say is for the table's
// owner to check.
absl::StatusOr<SequenceSource> DecodeSequences(const v1::SequenceSpec& spec,
                                               const std::string& path);

// Likewise for a prediction, in which sequences have no weights.
absl::StatusOr<SequenceSource> DecodeUnweightedSequences(const v1::SequenceSpec& spec,
                                                         const std::string& path);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_CODEC_SEQUENCES_H_
