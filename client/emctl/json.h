// JSON for programs: any message of the API, and the one document of a fit.
#ifndef EMSERVE_CLIENT_EMCTL_JSON_H_
#define EMSERVE_CLIENT_EMCTL_JSON_H_

#include <string>
#include <vector>

#include "emserve/v1/job.pb.h"
#include "emserve/v1/model.pb.h"
#include "google/protobuf/message.h"
#include "nlohmann/json.hpp"

namespace emserve::emctl {

// Members keep their order.
using Json = nlohmann::ordered_json;

// JSON has no NaN and no infinity. NaN, a number that there is not such as a missing cell, becomes
// null; an infinity, e.g. the logarithm of a probability of 0 or the duration of a state that is
// never left, the string "Infinity" or "-Infinity", as in protobuf's JSON.
Json NumberToJson(double value);

// The message with its field names as they are in the protos, and its values as a person expects
// them: integers as numbers, enum values as lower-case words, times as RFC 3339, durations in
// seconds, tensors as nested arrays, parameters as an object of them, errors as {code, message}.
// Fields without a value are left out, and numbers are as NumberToJson has them.
Json ToJson(const google::protobuf::Message& message);

// The elements of a tensor as nested arrays of its shape; null if it is not consistent.
Json TensorToJson(const v1::Tensor& tensor);

// The result of a fit, flat: log_likelihood, bic, aic, icl, degrees_of_freedom, termination,
// message, iterations, restart, seed, model, job, parameters, optima, repairs, warnings and some
// more; with columns of named categories also `levels`, their names by column; of hidden Markov
// models also expected_durations and stationary, null where there is none. Of a version without
// parameters, which was deleted, what the job does not know is null.
// `label_names`: those of components 0, 1, ... in the column of labels, if they have any.
Json FitDocument(const v1::ModelVersion& version, const std::vector<v1::WarningEvent>& warnings,
                 const std::vector<std::string>& label_names = {});

}  // namespace emserve::emctl

#endif  // EMSERVE_CLIENT_EMCTL_JSON_H_
