#include "parallel_for.h"

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>

#include "processor.h"

namespace tfnodejs {
namespace {

struct Job {
  const std::function<void(int64_t)> &work;
  const int64_t chunks;
  std::atomic<int64_t> next{0};
  // Threads of the pool that are in this job. Guarded by the mutex of the pool.
  int helpers = 0;
  // What the work threw first.
  std::atomic<bool> has_failed{false};
  std::exception_ptr error;

  void RunRemaining() {
    try {
      for (int64_t chunk = next++; chunk < chunks && !has_failed; chunk = next++) work(chunk);
    } catch (...) {
      if (!has_failed.exchange(true)) error = std::current_exception();
    }
  }

  // When no thread is in the job any more.
  void Rethrow() const {
    if (error) std::rethrow_exception(error);
  }
};

// Threads that help with the jobs of others. TensorFlow runs several kernels at the same time, each with its own job. A thread helps while fewer threads
// are at work than there are cores.
class Pool {
 public:
  explicit Pool(int cores) : cores_(cores) {
    try {
      for (int i = 1; i < cores; i++) std::thread([this] { Help(); }).detach();
    } catch (const std::system_error &) {
      // the process may not have more threads: those that there are do the work
    }
  }

  int cores() const { return cores_; }

  void Run(Job &job) {
    std::unique_lock<std::mutex> lock(mutex_);
    jobs_.push_back(&job);
    Work(job, lock);
    finished_.wait(lock, [&] { return job.helpers == 0; });
    lock.unlock();
    job.Rethrow();
  }

 private:
  void Help() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      if (!CanHelp()) {
        lock.unlock();
        WatchBriefly();
        lock.lock();
        available_.wait(lock, [this] { return CanHelp(); });
      }
      Job &job = *jobs_.front();
      job.helpers++;
      Work(job, lock);
      if (--job.helpers == 0) finished_.notify_all();
    }
  }

  // Runs chunks of the job until none is left to begin. The lock is released meanwhile.
  void Work(Job &job, std::unique_lock<std::mutex> &lock) {
    running_++;
    Invite();
    lock.unlock();
    job.RunRemaining();
    lock.lock();
    running_--;
    const auto found = std::find(jobs_.begin(), jobs_.end(), &job);
    if (found != jobs_.end()) jobs_.erase(found);
    Invite();
  }

  bool CanHelp() const { return !jobs_.empty() && running_ < cores_; }

  // Wakes a helper if there is work for it.
  void Invite() {
    is_inviting_ = CanHelp();
    if (is_inviting_) available_.notify_one();
  }

  // Kernels follow each other closely, and waking a thread takes as long as some of them: it watches for an invitation for about 50 µs before it sleeps.
  void WatchBriefly() const {
    for (int i = 0; i < 1000 && !is_inviting_.load(std::memory_order_relaxed); i++) Pause();
  }

  static void Pause() {
#ifdef __x86_64__
    __builtin_ia32_pause();
#else
    std::this_thread::yield();
#endif
  }

  const int cores_;
  std::mutex mutex_;
  std::condition_variable available_, finished_;
  std::deque<Job *> jobs_;
  int running_ = 0;  // threads that are in a job
  std::atomic<bool> is_inviting_{false};  // what CanHelp() was when it last changed, to be read without the mutex
};

// TensorFlow reads the same variable.
int ThreadCount() {
  const char *given = std::getenv("TF_NUM_INTRAOP_THREADS");
  const int threads = given == nullptr ? 0 : std::atoi(given);
  return threads > 0 ? threads : AvailableCores();
}

// Never destroyed: its threads run until the process ends.
Pool &SharedPool() {
  static Pool *pool = new Pool(ThreadCount());
  return *pool;
}

}  // namespace

void RunChunks(int64_t chunks, const std::function<void(int64_t)> &work) {
  Job job{work, chunks};
  if (chunks > 1 && SharedPool().cores() > 1) return SharedPool().Run(job);
  job.RunRemaining();
  job.Rethrow();
}

// As one job, without a pause of the threads in between. Chunks begin in their order, so none waits for one that has not begun.
void RunPreparedChunks(int64_t preparations, const std::function<void(int64_t)> &prepare, int64_t chunks,
                       const std::function<void(int64_t)> &work) {
  std::atomic<int64_t> prepared{0};
  RunChunks(preparations + chunks, [&](int64_t chunk) {
    if (chunk < preparations) {
      prepare(chunk);
      prepared.fetch_add(1, std::memory_order_release);
      return;
    }
    while (prepared.load(std::memory_order_acquire) < preparations) std::this_thread::yield();
    work(chunk - preparations);
  });
}

int CoreCount() { return SharedPool().cores(); }

}  // namespace tfnodejs
