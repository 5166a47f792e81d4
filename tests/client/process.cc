#include "tests/client/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

namespace emserve {
namespace {

// Appends what the pipe holds; closes it at its end.
void Drain(int& pipe, std::string& out) {
  char buffer[4096];
  const ssize_t got = read(pipe, buffer, sizeof(buffer));
  if (got > 0) {
    out.append(buffer, static_cast<size_t>(got));
  } else {
    close(pipe);
    pipe = -1;
  }
}

}  // namespace

Process::Process(const std::vector<std::string>& command,
                 const std::vector<std::pair<std::string, std::string>>& environment) {
  int out[2];
  int err[2];
  if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) return;
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  pid_ = fork();
  if (pid_ == 0) {
    dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    dup2(err[1], STDERR_FILENO);
    for (const auto& [name, value] : environment) setenv(name.c_str(), value.c_str(), 1);
    execv(arguments[0], arguments.data());
    _exit(127);
  }
  close(out[1]);
  close(err[1]);
  output_pipe_ = out[0];
  error_pipe_ = err[0];
}

Process::~Process() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  if (output_pipe_ >= 0) close(output_pipe_);
  if (error_pipe_ >= 0) close(error_pipe_);
}

void Process::Signal(int signal) const { kill(pid_, signal); }

bool Process::ReadSome() {
  if (output_pipe_ < 0 && error_pipe_ < 0) return false;
  pollfd pipes[] = {{output_pipe_, POLLIN, 0}, {error_pipe_, POLLIN, 0}};
  if (poll(pipes, 2, -1) < 0) return true;
  if (pipes[0].revents != 0) Drain(output_pipe_, output_);
  if (pipes[1].revents != 0) Drain(error_pipe_, error_);
  return true;
}

bool Process::AwaitError(const std::string& text) {
  while (error_.find(text) == std::string::npos) {
    if (!ReadSome()) return false;
  }
  return true;
}

int Process::Wait() {
  while (ReadSome()) {
  }
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

std::unique_ptr<Process> StartEmctl(int port, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), EMSERVE_EMCTL);
  // Port 1 is where nobody listens.
  return std::make_unique<Process>(
      arguments, std::vector<std::pair<std::string, std::string>>{
                     {"EMSERVE_SERVER", "127.0.0.1:" + std::to_string(port == 0 ? 1 : port)}});
}

Outcome RunEmctl(int port, std::vector<std::string> arguments) {
  const auto process = StartEmctl(port, std::move(arguments));
  Outcome outcome;
  outcome.exit_status = process->Wait();
  outcome.output = process->output();
  outcome.error = process->error();
  return outcome;
}

ServerProcess::ServerProcess(const std::vector<std::string>& flags) {
  const std::string port_file = dir_.path("port");
  const int changes = inotify_init1(IN_CLOEXEC);
  inotify_add_watch(changes, dir_.path("").c_str(), IN_CLOSE_WRITE | IN_MOVED_TO);
  std::vector<std::string> command = {EMSERVE_EMSERVED, "--listen",    "127.0.0.1:0", "--port_file",
                                      port_file,        "--log_level", "off"};
  command.insert(command.end(), flags.begin(), flags.end());
  process_ = std::make_unique<Process>(command, std::vector<std::pair<std::string, std::string>>());
  const int ended = static_cast<int>(syscall(SYS_pidfd_open, process_->pid(), 0));
  constexpr int kPatienceMs = 60'000;
  while (port_ == 0) {
    pollfd events[] = {{changes, POLLIN, 0}, {ended, POLLIN, 0}};
    if (poll(events, 2, kPatienceMs) <= 0 || events[1].revents != 0) break;
    char buffer[4096];
    if (read(changes, buffer, sizeof(buffer)) <= 0) break;
    port_ = std::atoi(ReadAll(port_file).c_str());
  }
  close(ended);
  close(changes);
}

ServerProcess::~ServerProcess() = default;

}  // namespace emserve
