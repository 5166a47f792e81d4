// One thread that tells watchers of jobs that there is news, and runs the server's timers.
//
// Whoever makes news only sets a flag; whoever watches reads the job's log itself, at its own
// speed. Between the two stands this thread, which joins many small changes into few signals.
#ifndef EMSERVE_SERVER_JOBS_WATCH_HUB_H_
#define EMSERVE_SERVER_JOBS_WATCH_HUB_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "server/clock.h"

namespace emserve::server {

class Job;

// Somebody who watches a job.
class Watcher {
 public:
  enum class Signal {
    kNews,       // the job's log or state may have changed
    kHeartbeat,  // an interval has passed
    kClosed,     // the hub is closing: end the watch; nothing follows
  };
  virtual ~Watcher() = default;
  // Called on the hub's thread, one call at a time; must not block. May subscribe and unsubscribe.
  virtual void OnSignal(Signal signal) = 0;
};

struct WatchHubOptions {
  // Every watcher hears a heartbeat this often.
  absl::Duration heartbeat = absl::Seconds(15);
  // After a round of signals the next waits this long, so that a fit with a thousand iterations per
  // millisecond costs its watchers nothing.
  absl::Duration round_interval = absl::Milliseconds(20);
  Clock clock = nullptr;  // required
  // False: no thread is started, RunOnce is called by hand. For tests.
  bool start_thread = true;
};

// Thread-safe.
class WatchHub {
 public:
  explicit WatchHub(WatchHubOptions options);
  ~WatchHub();  // Close().
  WatchHub(const WatchHub&) = delete;
  WatchHub& operator=(const WatchHub&) = delete;

  // From now on `watcher` hears of `job`; it should look at the job once right after. The hub keeps
  // the job but not the watcher: a watcher that is gone is forgotten, and one that is called is
  // kept alive for the time of the call. Once closed, the watcher hears kClosed at once, on this
  // thread.
  void Subscribe(std::shared_ptr<const Job> job, std::weak_ptr<Watcher> watcher);
  // A signal that is under way may still arrive.
  void Unsubscribe(const Job& job, const Watcher& watcher);

  // Tells that `job` has news, `urgent` if they should not wait for the next round. Costs a load or
  // two when nobody watches or the hub knows already.
  void Notify(const Job& job, bool urgent);

  // Calls `timer` with the time, on the hub's thread, whenever the time it returned last has come
  // (at first at once) or Wake is called. Returns a handle.
  int64_t AddTimer(std::function<absl::Time(absl::Time now)> timer);
  // When this returns the timer is not running and will not run again. Not to be called by a timer.
  void RemoveTimer(int64_t handle);
  // Lets all timers look at the time again soon.
  void Wake();

  // Everything that is due now: timers, news, heartbeats. Returns when it wants to be called again.
  absl::Time RunOnce();

  // Stops the thread and tells all watchers kClosed. Idempotent. Not to be called by a watcher.
  void Close();

  int64_t num_watchers() const;

 private:
  struct Watch {
    std::shared_ptr<const Job> job;
    std::vector<std::weak_ptr<Watcher>> watchers;
  };
  struct Timer {
    std::function<absl::Time(absl::Time)> run;
    absl::Time next = absl::InfinitePast();
  };
  void Work();
  void RunTimers(absl::Time now);
  // Watchers that are still there, of one job or (null) of all; forgets the others.
  std::vector<std::shared_ptr<Watcher>> LiveLocked(const Job* job);

  const WatchHubOptions options_;
  std::mutex rounds_;  // held during a round, outside mutex_
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool closed_ = false;
  bool woken_ = false;       // the thread is to run a round
  bool run_timers_ = false;  // all of them, in the next round
  std::map<const Job*, Watch> watches_;
  std::vector<std::weak_ptr<const Job>> news_;
  std::map<int64_t, std::shared_ptr<Timer>> timers_;
  int64_t next_handle_ = 1;
  absl::Time next_heartbeat_;
  absl::Time next_round_ = absl::InfinitePast();
  std::jthread thread_;
};

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_JOBS_WATCH_HUB_H_
