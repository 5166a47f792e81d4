#include "client/emctl/interrupts.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

namespace emserve::emctl {
namespace {

constexpr int kInterrupted = 130;  // as a shell reports a program that SIGINT ended

}  // namespace

Interrupts::Interrupts() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signals_ = signalfd(-1, &signals, SFD_CLOEXEC);
  wake_ = eventfd(0, EFD_CLOEXEC);
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

Interrupts::~Interrupts() {
  thread_.request_stop();
  eventfd_write(wake_, 1);
  thread_.join();
  close(wake_);
  close(signals_);
}

void Interrupts::Run(const std::stop_token& stop) {
  pollfd waiting[] = {{signals_, POLLIN, 0}, {wake_, POLLIN, 0}};
  while (!stop.stop_requested()) {
    if (poll(waiting, 2, -1) < 0) continue;
    signalfd_siginfo info;
    if ((waiting[0].revents & POLLIN) != 0 && read(signals_, &info, sizeof(info)) > 0) OnSignal();
  }
}

void Interrupts::OnSignal() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (handler_ == nullptr || signalled_) _exit(kInterrupted);
  signalled_ = true;
  handler_->call_ = std::jthread(handler_->on_signal_);
}

Interrupts::Handler::Handler(Interrupts& interrupts, std::function<void()> on_signal)
    : interrupts_(interrupts), on_signal_(std::move(on_signal)) {
  const std::lock_guard<std::mutex> lock(interrupts_.mutex_);
  interrupts_.handler_ = this;
}

Interrupts::Handler::~Handler() {
  const std::lock_guard<std::mutex> lock(interrupts_.mutex_);
  interrupts_.handler_ = nullptr;
}

}  // namespace emserve::emctl
