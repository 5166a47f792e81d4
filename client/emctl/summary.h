// What a person reads about a fitted model.
#ifndef EMSERVE_CLIENT_EMCTL_SUMMARY_H_
#define EMSERVE_CLIENT_EMCTL_SUMMARY_H_

#include <string>
#include <vector>

#include "emserve/v1/job.pb.h"
#include "emserve/v1/model.pb.h"

namespace emserve::emctl {

// The specification in words, e.g. "Gaussian mixture, full covariance".
std::string DescribeSpec(const v1::ModelSpec& spec);

// One line on a warning: reason, restart and message.
std::string WarningLine(const v1::WarningEvent& warning);

// Figures, parameters as aligned tables, optima, repairs and warnings of a version, several lines.
// Parameters too large for a page are named with their shapes instead.
// `label_names`: those of components 0, 1, ... in the column of labels, if they have any.
std::string Summary(const v1::ModelVersion& version, const std::vector<v1::WarningEvent>& warnings,
                    const std::vector<std::string>& label_names = {});

}  // namespace emserve::emctl

#endif  // EMSERVE_CLIENT_EMCTL_SUMMARY_H_
