// The command line of emserved, its configuration file and its environment.
#ifndef EMSERVE_SERVER_OPS_FLAGS_H_
#define EMSERVE_SERVER_OPS_FLAGS_H_

#include <iosfwd>
#include <variant>

#include "server/ops/options.h"

namespace emserve::server {

// The options of a command line, or the exit status after --help or --version was printed to `out`
// (0) or an error to `err` (2). A flag overrides the environment (EMSERVE_<FLAG>), which overrides
// the file named by --config. Ranges are checked here, as is that plain text stays on loopback
// unless
// --insecure says otherwise; files are not opened.
std::variant<ServerOptions, int> ParseFlags(int argc, const char* const* argv, std::ostream& out,
                                            std::ostream& err);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_OPS_FLAGS_H_
