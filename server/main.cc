// emserved: flags, wiring, signals.
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <thread>
#include <variant>

#include "server/ops/flags.h"
#include "server/ops/server.h"

namespace {

sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

}  // namespace

int main(int argc, char** argv) {
  using emserve::server::Server;
  const auto parsed = emserve::server::ParseFlags(argc, argv, std::cout, std::cerr);
  if (const int* status = std::get_if<int>(&parsed)) return *status;

  // Blocked before any thread starts, so that every thread leaves them to sigwait.
  const sigset_t signals = StopSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  auto server = Server::Start(std::get<emserve::server::ServerOptions>(parsed));
  if (!server.ok()) {
    std::cerr << "emserved: " << server.status().message() << "\n";
    return 2;
  }
  int signal = 0;
  sigwait(&signals, &signal);
  std::thread([signals] {
    int second = 0;
    sigwait(&signals, &second);
    std::_Exit(128 + second);  // a second signal does not wait for jobs
  }).detach();
  (*server)->Drain();
  return 0;
}
