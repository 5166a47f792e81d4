// Ctrl-C: the first one ends what is going on in an orderly way, the second one ends the program.
#ifndef EMSERVE_CLIENT_EMCTL_INTERRUPTS_H_
#define EMSERVE_CLIENT_EMCTL_INTERRUPTS_H_

#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>

namespace emserve::emctl {

// Takes over SIGINT and SIGTERM. Make it before any thread starts: it blocks both signals for the
// threads that come later and waits for them in one of its own.
class Interrupts {
 public:
  Interrupts();
  ~Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  // While a Handler lives, the first signal calls its function, on a thread of its own. A signal
  // that no handler awaits, and every further one, ends the program with status 130.
  class Handler {
   public:
    Handler(Interrupts& interrupts, std::function<void()> on_signal);
    // Waits for the function if it is running.
    ~Handler();
    Handler(const Handler&) = delete;
    Handler& operator=(const Handler&) = delete;

   private:
    friend class Interrupts;
    Interrupts& interrupts_;
    const std::function<void()> on_signal_;
    std::jthread call_;  // guarded by interrupts_.mutex_ until the destructor
  };

 private:
  void Run(const std::stop_token& stop);
  void OnSignal();

  std::mutex mutex_;
  Handler* handler_ = nullptr;
  bool signalled_ = false;
  int wake_ = -1;
  int signals_ = -1;
  std::jthread thread_;
};

// A stop token that the first Ctrl-C stops, for transfers.
class StopOnInterrupt {
 public:
  explicit StopOnInterrupt(Interrupts& interrupts)
      : handler_(interrupts, [this] { source_.request_stop(); }) {}

  std::stop_token token() const { return source_.get_token(); }

 private:
  std::stop_source source_;
  Interrupts::Handler handler_;
};

}  // namespace emserve::emctl

#endif  // EMSERVE_CLIENT_EMCTL_INTERRUPTS_H_
