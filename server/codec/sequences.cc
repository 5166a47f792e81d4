#include "server/codec/sequences.h"

#include "absl/strings/str_cat.h"

namespace emserve::server {

absl::StatusOr<SequenceSource> DecodeSequences(const v1::SequenceSpec& spec,
                                               const std::string& path) {
  SequenceSource source;
  source.weights = {spec.weights().begin(), spec.weights().end()};
  switch (spec.cut_case()) {
    case v1::SequenceSpec::kColumn:
      source.column = spec.column();
      return source;
    case v1::SequenceSpec::kLengths:
      source.lengths = {spec.lengths().lengths().begin(), spec.lengths().lengths().end()};
      return source;
    case v1::SequenceSpec::CUT_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      path,
      ": got neither a column nor lengths, must be one of them; absent where all rows are "
      "one sequence"));
}

absl::StatusOr<SequenceSource> DecodeUnweightedSequences(const v1::SequenceSpec& spec,
                                                         const std::string& path) {
  if (spec.weights().empty()) return DecodeSequences(spec, path);
  return absl::InvalidArgumentError(absl::StrCat(path, ".weights: got ", spec.weights_size(),
                                                 " weights with a prediction, must be absent"));
}

}  // namespace emserve::server
