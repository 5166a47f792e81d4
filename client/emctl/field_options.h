// The options of emctl behind the fields of the API, for errors that the server words in its own
// terms.
#ifndef EMSERVE_CLIENT_EMCTL_FIELD_OPTIONS_H_
#define EMSERVE_CLIENT_EMCTL_FIELD_OPTIONS_H_

#include <string>

namespace emserve::emctl {

// A message "<field path>: ..." with the option in the place of the path, for the paths of fits,
// predictions, samples and datasets: "job.fit.restarts: got 0" becomes "--restarts: got 0", and
// "job.fit.columns[b]: got inf" becomes "column "b": got inf". Remedies are reworded too. Any other
// message stays as it is.
std::string InOptions(const std::string& message);

// The path at the head of a message that InOptions would reword; empty for any other.
std::string FieldOf(const std::string& message);

}  // namespace emserve::emctl

#endif  // EMSERVE_CLIENT_EMCTL_FIELD_OPTIONS_H_
