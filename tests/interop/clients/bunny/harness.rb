# SPDX-License-Identifier: Apache-2.0
# Scenario names on standard input, one answer a line; see ../../scenarios.toml.
require "digest"
require "json"

module Harness
  LISTED = JSON.parse(File.read(ENV.fetch("SCENARIOS")))
  TOKEN = ENV.fetch("INTEROP_TOKEN", Process.pid.to_s)
  SCENARIOS = {}
  ROLES = {}
  @numbers = 0

  class Failed < StandardError; end

  module_function

  def next_number
    @numbers += 1
  end

  def now
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end

  def run
    role, *arguments = ARGV
    return ROLES.fetch(role).call(*arguments) if role

    $stdin.each_line do |line|
      name = line.strip
      begin
        SCENARIOS.fetch(name).call
        puts "ok #{name}"
      rescue Exception => problem # a client library's own SystemExit is a failure as well
        puts "not ok #{name} - #{problem.class}: #{problem.message}".gsub(/\s+/, " ")
        (problem.backtrace || []).each { |place| puts "# #{place}" }
      end
      $stdout.flush
    end
  end
end

def scenario(name, &block)
  Harness::SCENARIOS[name] = block
end

def role(name, &block)
  Harness::ROLES[name] = block
end

def expected(name)
  Harness::LISTED.fetch(name).fetch("expect", {})
end

# A name that no other client or scenario uses.
def unique(kind)
  "t.#{Harness::TOKEN}.#{kind}.#{Harness.next_number}"
end

def same(found, wanted, what)
  raise Harness::Failed, "#{what}: found #{found.inspect}, expected #{wanted.inspect}" unless found == wanted
end

def check(condition, what)
  raise Harness::Failed, what unless condition
end

def eventually(what, timeout_s: 5.0, step_s: 0.02)
  deadline = Harness.now + timeout_s
  until yield
    check(Harness.now < deadline, "#{what}: not within #{timeout_s} s")
    sleep step_s
  end
end

def body_of(size, seed)
  Random.new(seed).bytes(size)
end

def digest(body)
  Digest::SHA256.hexdigest(body)
end

# Another process of this client that plays a role, once it is where the scenario wants it. Returns its id.
def child(role, *arguments)
  reader, writer = IO.pipe
  pid = spawn("/usr/bin/ruby", $PROGRAM_NAME, role, *arguments.map(&:to_s), out: writer)
  writer.close
  said = reader.gets.to_s.strip
  reader.close
  return pid if said == "there"

  end_child(pid)
  raise Harness::Failed, "the child process (#{role}) said #{said.inspect}"
end

def there
  puts "there"
  $stdout.flush
end

def end_child(pid)
  Process.kill("KILL", pid)
  Process.wait(pid)
end
