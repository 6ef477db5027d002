# The job of sidekiq_jobs.rb, as Sidekiq's processes load it.
require "sidekiq"

port = ENV.fetch("APP_PORTS").split(",").first
settings = { url: "redis://127.0.0.1:#{port}", timeout: 10 }
Redis.silence_deprecations = true
Sidekiq.logger.level = Logger::WARN
Sidekiq.configure_server { |config| config.redis = settings }
Sidekiq.configure_client { |config| config.redis = settings }
# Looks for scheduled jobs and retries every second or two.
Sidekiq.options[:poll_interval_average] = 1

class Note
  include Sidekiq::Worker
  sidekiq_options retry: 5
  sidekiq_retry_in { 1 }

  def perform(number, fails)
    first = "tried-#{number}"
    if fails && !File.exist?(first)
      File.write(first, "")
      raise "the first attempt fails"
    end
    File.open("ran", "a") { |ran| ran.puts(number) }
  end
end
