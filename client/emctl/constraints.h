// Fixed and tied parameters as people write them: "means[0,waiting]=70", "weights[0]=weights[1]".
#ifndef EMSERVE_CLIENT_EMCTL_CONSTRAINTS_H_
#define EMSERVE_CLIENT_EMCTL_CONSTRAINTS_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "emserve/v1/model_spec.pb.h"

namespace emserve::emctl {

// The columns of a block: what the dimensions of a parameter after the first run over.
struct ModelledColumns {
  std::vector<std::string> names;
  std::vector<std::vector<std::string>> levels;  // of each column; empty: not known by name
  std::vector<int64_t> num_levels;               // of each column; 0: not known

  // Arrays whose second dimension does not run over columns, such as transitions.
  struct Width {
    int64_t size = 0;    // 0: not known
    std::string option;  // which says it
  };
  std::map<std::string, Width> widths = {};
};

// Adds `fixed` ("ARRAY[I,J]=VALUE", "ARRAY=VALUE,VALUE,...": all elements, or one value for all)
// and `tied` ("ARRAY[I,J]=ARRAY[K,L]=...", "ARRAY": all elements) to `constraints`.
//
// Indices count from 0, the first over components; a later one may be the name of a column, or of a
// category in "probabilities_<column>[K,L]", whose column too may be named. One index alone is
// row-major; of covariances it is a whole matrix, given row by row or tied cell by cell. Arrays of
// a product's part are "<part>.<array>"; `blocks` has the columns of each part by name, those of
// all under "". InvalidArgument with the option.
absl::Status AddConstraints(const std::vector<std::string>& fixed,
                            const std::vector<std::string>& tied,
                            const std::map<std::string, ModelledColumns>& blocks,
                            v1::Constraints& constraints);

}  // namespace emserve::emctl

#endif  // EMSERVE_CLIENT_EMCTL_CONSTRAINTS_H_
