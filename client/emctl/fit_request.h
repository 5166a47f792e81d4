// What was typed as a specification: what needs neither a file nor the server.
#ifndef EMSERVE_CLIENT_EMCTL_FIT_REQUEST_H_
#define EMSERVE_CLIENT_EMCTL_FIT_REQUEST_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/data_file.h"
#include "client/emctl/spec_options.h"
#include "emserve/v1/dataset.pb.h"
#include "emserve/v1/job.pb.h"
#include "proto/wire/model_spec.h"

namespace emserve::emctl {

// What was typed.
struct FitOptions {
  const FamilyCommand* family = nullptr;
  // What the options of spec_options.h have set. Absent ones are left out of the request, so that
  // the engine's defaults hold.
  v1::FitSpec spec;
  std::string data;                 // a file, or
  std::string dataset;              // a dataset on the server
  client::DataFileOptions reading;  // what the specification does not say
  std::string keep;                 // id under which the uploaded data stays on the server
  std::string start_from;           // a file of parameters (.json) or a stored model
  std::vector<std::string> fix;     // constraints.h
  std::vector<std::string> tie;
  std::vector<std::string> allow_transitions;   // I,J: beside those of the pattern
  std::vector<std::string> forbid_transitions;  // I,J
  std::vector<std::string> parts;               // NAME=FAMILY:COLUMN,...
  std::vector<std::string> part_options;        // NAME.OPTION=VALUE, or NAME.FLAG
  std::optional<absl::Duration> timeout;
  bool detach = false;

  // Whether anything is said of the family's emission.
  bool has_family_options() const {
    return !parts.empty() || EmissionOf(spec.model()).ByteSizeLong() > 0;
  }
};

// The specification that the options describe, but for data and constraints. InvalidArgument with
// the option.
absl::StatusOr<v1::FitSpec> SpecOf(const FitOptions& options);

// How to read a file for this fit: which columns, and which of them may hold categories.
client::DataFileOptions ReadingOf(const FitOptions& options, const v1::FitSpec& spec);

// Adds the constraints, for which the columns must be known: those of the dataset and, of columns
// without names of categories, the number of codes that `num_levels` says, 0 for unknown.
absl::Status AddConstraints(const FitOptions& options, const std::vector<v1::Column>& columns,
                            v1::FitSpec& spec);

}  // namespace emserve::emctl

#endif  // EMSERVE_CLIENT_EMCTL_FIT_REQUEST_H_
