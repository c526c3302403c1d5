// Starts each case with the real PM2 and FinalPM and writes what they made of it to recorded.json; the two whole projects of
// tests/apps, to real.json; and what PM2 saves of the second, to dump.json.
//
//     node tests/ecosystem/record.js DIRECTORY-WITH-BOTH-IN-node_modules [CASE]
//
// Owns: what of their answers is kept. The directory of a case is written as /dir, so that it is the same everywhere.
'use strict';
const fs = require('fs');
const os = require('os');
const path = require('path');
const { spawnSync } = require('child_process');

const tools = path.resolve(process.argv[2]);
const only = process.argv[3];
const cases = JSON.parse(fs.readFileSync(path.join(__dirname, 'cases.json'), 'utf8'));
const target = path.join(__dirname, 'recorded.json');
const recorded = only && fs.existsSync(target) ? JSON.parse(fs.readFileSync(target, 'utf8')) : {};

// Fields of PM2 that say what it understood.
const KEPT = ['name', 'namespace', 'exec_mode', 'kill_timeout', 'listen_timeout', 'min_uptime', 'max_restarts', 'restart_delay',
  'exp_backoff_restart_delay', 'max_memory_restart', 'cron_restart', 'watch', 'ignore_watch', 'watch_delay', 'autorestart',
  'stop_exit_codes', 'treekill', 'wait_ready', 'shutdown_with_message', 'instance_var', 'increment_var', 'exec_interpreter',
  'pm_exec_path', 'pm_out_log_path', 'pm_err_log_path', 'pm_pid_path', 'log_date_format', 'log_type', 'merge_logs', 'uid', 'gid',
  'status', 'args', 'node_args'];

function wait(check) {
  const end = Date.now() + 8000;
  for (;;) {
    const found = check();
    if (found || Date.now() > end) return found;
    spawnSync('sleep', ['0.05']);
  }
}

function record(one) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'ecosystem-'));
  const probes = path.join(dir, 'probes');
  const work = path.join(dir, 'dir');
  const below = ['sub', 'with space', 'package'].map((name) => path.join(work, name));
  for (const made of [probes, work, ...below]) fs.mkdirSync(made);
  for (const name of fs.readdirSync(path.join(__dirname, 'probe'))) {
    fs.copyFileSync(path.join(__dirname, 'probe', name), path.join(work, name));
    for (const made of below) fs.copyFileSync(path.join(__dirname, 'probe', name), path.join(made, name));
  }
  fs.copyFileSync(path.join(__dirname, 'probe/probe.js'), path.join(work, 'package/index.js'));
  const env = Object.assign({ PATH: process.env.PATH, HOME: '/home/somebody', PROBE_DIR: probes, PM2_HOME: path.join(dir, 'pm2'),
    PM2_DISABLE_VERSION_CHECK: 'true', T_INHERITED: 'yes', T_SECRET_KEY: 'no' }, one.environment);
  const finalpm = one.tool === 'finalpm';
  const file = finalpm ? 'process-config.js' : 'ecosystem.config.js';
  fs.writeFileSync(path.join(work, file), `module.exports = ${JSON.stringify(one.config).replace('$PROBES', probes)};\n`);
  const run = (program, args) => spawnSync(path.join(tools, 'node_modules/.bin', program), args, { cwd: work, env, encoding: 'utf8' });
  const neutral = (text) => text.split(work).join('/dir').split(path.join(dir, 'pm2')).join('/home/somebody/.pm2')
    .replace(/[^"]*\/node_modules\//g, '/tools/');
  const answer = { processes: [] };
  const probed = (pid) => {
    const probe = path.join(probes, String(pid));
    const there = pid && wait(() => fs.existsSync(probe) && fs.readFileSync(probe, 'utf8'));
    return there ? JSON.parse(neutral(there)) : null;
  };
  if (finalpm) {
    const home = ['--set', `home=${path.join(dir, 'fpm')}`];
    const started = run('final-pm', [...home, 'start', 'all']);
    answer.refused = started.status === 0 && !/Error/.test(started.stderr + started.stdout) ? undefined
      : neutral(started.stderr + started.stdout).replace(/\x1b\[[0-9;]*m/g, '').trim().split('\n').slice(-3).join('\n');
    if (answer.refused === undefined) {
      wait(() => fs.readdirSync(probes).length >= (one.processes || 1));
      answer.processes = fs.readdirSync(probes).map((pid) => ({ probe: probed(pid) }));
      answer.processes.sort((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b)));
    }
    run('final-pm', [...home, '--kill']);
  } else {
    const started = run('pm2', ['start', file, ...(one.args || [])]);
    if (started.status !== 0) answer.refused = neutral(started.stdout + started.stderr).replace(/\x1b\[[0-9;]*m/g, '').split('\n').filter((line) => /ERROR|WARN|Error/.test(line)).join('\n');
    const list = JSON.parse(run('pm2', ['jlist']).stdout || '[]');
    for (const { pid, pm2_env } of list) {
      const kept = Object.fromEntries(KEPT.filter((key) => pm2_env[key] !== undefined).map((key) => [key, pm2_env[key]]));
      answer.processes.push({ pm2: JSON.parse(neutral(JSON.stringify(kept))), probe: probed(pid) });
    }
    run('pm2', ['kill']);
  }
  fs.rmSync(dir, { recursive: true, force: true });
  return answer;
}

// A project of tests/apps, started as its users start it.
function project(name, file, args, environment) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'ecosystem-'));
  const work = path.join(dir, 'dir');
  fs.cpSync(path.join(__dirname, '../apps', name), work, { recursive: true });
  const env = Object.assign({ PATH: process.env.PATH, HOME: '/home/somebody', TERM: 'xterm', PM2_HOME: path.join(dir, 'pm2'),
    PM2_DISABLE_VERSION_CHECK: 'true' }, environment);
  const run = (words) => spawnSync(path.join(tools, 'node_modules/.bin/pm2'), words, { cwd: work, env, encoding: 'utf8' });
  const neutral = (text) => text.split(work).join('/dir').split(path.join(dir, 'pm2')).join('/home/somebody/.pm2')
    .split(process.env.PATH).join('/usr/local/bin:/usr/bin:/bin');
  run(['start', file, ...args]);
  const list = () => JSON.parse(run(['jlist']).stdout || '[]');
  wait(() => list().every(({ pm2_env }) => pm2_env.status !== 'launching' && (pm2_env.autorestart || pm2_env.status === 'stopped')));
  const processes = list().map(({ pid, pm2_env }) => {
    const kept = Object.fromEntries(KEPT.filter((key) => pm2_env[key] !== undefined).map((key) => [key, pm2_env[key]]));
    const said = { pm2: kept, argv: null, cwd: null, env: {} };
    if (pid) {
      // Node writes its title over its arguments.
      const argv = fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
      if (pm2_env.exec_interpreter !== 'node') said.argv = [path.basename(argv[0]), ...argv.slice(1)];
      said.cwd = fs.readlinkSync(`/proc/${pid}/cwd`);
      for (const pair of fs.readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0')) {
        const [variable] = pair.split('=', 1);
        if (/^(WORKER_|PYTHON|QUEUE|NODE_ENV|RELEASE|NODE_APP_INSTANCE)/.test(variable)) said.env[variable] = pair.slice(variable.length + 1);
      }
    }
    return JSON.parse(neutral(JSON.stringify(said)));
  });
  run(['save']);
  const dump = JSON.parse(neutral(fs.readFileSync(path.join(dir, 'pm2/dump.pm2'), 'utf8')));
  run(['kill']);
  fs.rmSync(dir, { recursive: true, force: true });
  return { processes, dump };
}

if (!only) {
  const write = (name, value) => fs.writeFileSync(path.join(__dirname, name), JSON.stringify(value, null, 1) + '\n');
  const nest = project('nest', 'ecosystem.config.js', ['--env', 'production'], { PORT: '13999' });
  const workers = project('workers', 'ecosystem.config.cjs', [], { GATEWAY_PORT: '13998' });
  write('real.json', { nest: nest.processes, workers: workers.processes });
  write('dump.json', workers.dump);
}

for (const one of cases) {
  if (only && one.name !== only) continue;
  recorded[one.name] = record(one);
  console.error(one.name, recorded[one.name].refused ? 'REFUSED' : recorded[one.name].processes.length);
}
fs.writeFileSync(target, JSON.stringify(recorded, null, 1) + '\n');
