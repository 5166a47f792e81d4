// Programs as a test runs them: emctl, and emserved on a free port.
#ifndef EMSERVE_TESTS_CLIENT_PROCESS_H_
#define EMSERVE_TESTS_CLIENT_PROCESS_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/client/temp_dir.h"

namespace emserve {

// A running program with its standard output and error in pipes. Killed, if it still runs, when the
// object goes.
class Process {
 public:
  // `environment` is added to the test's own.
  Process(const std::vector<std::string>& command,
          const std::vector<std::pair<std::string, std::string>>& environment);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void Signal(int signal) const;
  // Reads on until the standard error holds `text`; false if it ends first.
  bool AwaitError(const std::string& text);
  // Reads both outputs to their ends and returns the exit status, or -1 after a signal.
  int Wait();

  pid_t pid() const { return pid_; }
  // What was read so far.
  const std::string& output() const { return output_; }
  const std::string& error() const { return error_; }

 private:
  // Reads what is there; false once both pipes have ended.
  bool ReadSome();

  pid_t pid_ = -1;
  int output_pipe_ = -1;
  int error_pipe_ = -1;
  std::string output_;
  std::string error_;
};

// The outcome of a program that has ended.
struct Outcome {
  int exit_status = -1;
  std::string output;
  std::string error;
};

// Runs emctl with these arguments against the server at `port`, or none if it is 0.
Outcome RunEmctl(int port, std::vector<std::string> arguments);
// The same, still running.
std::unique_ptr<Process> StartEmctl(int port, std::vector<std::string> arguments);

// emserved on a free port of the loopback address.
class ServerProcess {
 public:
  // Returns once it answers; port() is 0 if it did not come up.
  explicit ServerProcess(const std::vector<std::string>& flags = {});
  ~ServerProcess();

  int port() const { return port_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  TempDir dir_;
  std::unique_ptr<Process> process_;
  int port_ = 0;
};

}  // namespace emserve

#endif  // EMSERVE_TESTS_CLIENT_PROCESS_H_
