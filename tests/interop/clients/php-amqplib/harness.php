<?php
// SPDX-License-Identifier: Apache-2.0
// Scenario names on standard input, one answer a line; see ../../scenarios.toml.

class Failed extends Exception
{
}

final class Harness
{
    public static array $listed;
    public static array $scenarios = [];
    public static array $roles = [];
    public static int $numbers = 0;

    public static function run(array $arguments): void
    {
        if (count($arguments) > 1) {
            (self::$roles[$arguments[1]])(...array_slice($arguments, 2));
            return;
        }
        while (($line = fgets(STDIN)) !== false) {
            self::one(trim($line));
        }
    }

    private static function one(string $name): void
    {
        try {
            (self::$scenarios[$name])();
            echo "ok $name\n";
        } catch (Throwable $problem) {
            $why = preg_replace('/\s+/', ' ', get_class($problem) . ': ' . $problem->getMessage());
            echo "not ok $name - $why\n";
            foreach (explode("\n", $problem->getTraceAsString()) as $place) {
                echo "# $place\n";
            }
        }
    }
}

ini_set('memory_limit', '-1');
// What PHP warns of is a failure; a library's own @ stays silent.
set_error_handler(function (int $level, string $text, string $file, int $line): bool {
    if (!(error_reporting() & $level) || $level & (E_DEPRECATED | E_USER_DEPRECATED)) {
        return true;
    }
    throw new ErrorException($text, 0, $level, $file, $line);
});
Harness::$listed = json_decode(file_get_contents(getenv('SCENARIOS')), true);

function scenario(string $name, callable $does): void
{
    Harness::$scenarios[$name] = $does;
}

function role(string $name, callable $does): void
{
    Harness::$roles[$name] = $does;
}

function expected(string $name): array
{
    return Harness::$listed[$name]['expect'] ?? [];
}

/** A name that no other client or scenario uses. */
function unique(string $kind): string
{
    return sprintf('t.%s.%s.%d', getenv('INTEROP_TOKEN') ?: getmypid(), $kind, ++Harness::$numbers);
}

function same(mixed $found, mixed $wanted, string $what): void
{
    if ($found !== $wanted) {
        throw new Failed("$what: found " . var_export($found, true) . ', expected ' . var_export($wanted, true));
    }
}

function check(bool $condition, string $what): void
{
    if (!$condition) {
        throw new Failed($what);
    }
}

function pause(float $seconds): void
{
    usleep((int)($seconds * 1e6));
}

function eventually(callable $condition, string $what, float $timeout_s = 5.0, float $step_s = 0.02): void
{
    $deadline = microtime(true) + $timeout_s;
    while (!$condition()) {
        check(microtime(true) < $deadline, "$what: not within $timeout_s s");
        pause($step_s);
    }
}

/** The same pseudo-random bytes for the same seed. */
function body_of(int $size, int $seed): string
{
    $key = hash('sha256', (string)$seed, true);
    return openssl_encrypt(str_repeat("\0", $size), 'aes-256-ctr', $key, OPENSSL_RAW_DATA, str_repeat("\0", 16));
}

function digest(string $body): string
{
    return hash('sha256', $body);
}

/** Another process of this client that plays a role, once it is where the scenario wants it. */
function child(string $role, string ...$arguments)
{
    $process = proc_open([PHP_BINARY, $_SERVER['argv'][0], $role, ...$arguments], [1 => ['pipe', 'w']], $pipes);
    $said = trim((string)fgets($pipes[1]));
    if ($said !== 'there') {
        end_child($process);
        throw new Failed("the child process ($role) said '$said'");
    }
    return $process;
}

function there(): void
{
    echo "there\n";
}

function signal_child($process, int $number): void
{
    posix_kill(proc_get_status($process)['pid'], $number);
}

function end_child($process): void
{
    signal_child($process, SIGKILL);
    proc_close($process);
}
