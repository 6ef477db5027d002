# Sidekiq: a producer of jobs, some of them scheduled and some that fail at first, and two processes that run them.
require "json"
require "set"
require_relative "sidekiq_worker"

$stdout.sync = true
ports = ENV.fetch("APP_PORTS").split(",")
worker = File.join(__dir__, "sidekiq_worker.rb")
processes = ports.map do |port|
  spawn({ "APP_PORTS" => port }, "sidekiq", "-r", worker, "-c", "2", in: :close, out: :err)
end

over = false
Thread.new { $stdin.read; over = true }
acknowledged, doubt, number = [], 0, 0
until over
  number += 1
  begin
    if number % 5 == 0
      Note.perform_in(0.5, number, false)
    else
      Note.perform_async(number, number % 7 == 0)
    end
    acknowledged << number
  rescue Redis::BaseError, ConnectionPool::Error => error
    doubt += 1
    warn "#{number} was not acknowledged: #{error.class}: #{error}"
  end
  sleep 0.02
end

# Sidekiq pops a job without a note: one whose answer is lost with a connection is gone, on any server. A later one ran, so it was pushed.
popped_at_most = 4 * ENV.fetch("APP_KILLS").to_i
left = acknowledged.to_set
deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 100
until left.empty? || Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline
  sleep 0.2
  File.foreach("ran") { |line| left.delete(line.to_i) } if File.exist?("ran")
end
note = "ok"
if left.any? && left.size <= popped_at_most && left.max < File.readlines("ran").map(&:to_i).max
  note = "ok, #{left.size} were popped unheard"
  left.clear
end
wrong = processes.filter_map { |id| "a process ended" if Process.wait(id, Process::WNOHANG) }
processes.each { |id| Process.kill(:KILL, id) } if wrong.empty?
puts JSON.generate(acknowledged: acknowledged.size, doubt: doubt, lost: left.sort, wrong: wrong, note: note)
exit!(left.empty? && wrong.empty? ? 0 : 1)
