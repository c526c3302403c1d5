// Run by node -e, as the person who typed the command: evaluates a config of PM2 or FinalPM and writes what it says, as
// lines of JSON, to a pipe. What the config prints is none of our business.
// [file descriptor, "pm2" | "finalpm" | "json", file, the words of the command line as PM2 would have had them...]
'use strict';
const fs = require('fs');
const path = require('path');
const [fd, kind, file, ...words] = process.argv.slice(1);
// Some configs look there for `--env`.
process.argv = [process.execPath, ...words];
const pipe = Number(fd);
const before = Object.assign({}, process.env);

function say(message) {
  const bytes = Buffer.from(JSON.stringify(message) + '\n');
  for (let at = 0; at < bytes.length;) at += fs.writeSync(pipe, bytes, at);
}

// What JSON has no word for, and a config may hold all the same.
function plain(key, value) {
  const raw = this[key];
  if (raw instanceof RegExp) return { $regex: raw.source };
  if (typeof raw === 'function') return { $function: raw.name };
  if (typeof raw === 'bigint') return String(raw);
  return value;
}

// Variables that the config itself has set, dotenv's for one.
function changed() {
  const names = Object.keys(process.env).filter((name) => process.env[name] !== before[name]);
  return Object.fromEntries(names.map((name) => [name, process.env[name]]));
}

function result(value) {
  const has = value !== undefined && value !== null;
  try {
    say({ result: has ? JSON.parse(JSON.stringify(value, plain)) : null, env: changed() });
  } catch (error) {
    failure(new Error(`what it exports cannot be written as data: ${error.message.split('\n')[0]}`));
  }
}

// Where in the config: node tells it for broken text in the first lines of the stack, else in the innermost frame of it.
function place(stack) {
  const lines = stack.split('\n');
  const head = /^(.*):(\d+)$/.exec(lines[0]);
  const caret = lines.slice(1, 4).find((line) => /^\s*\^+\s*$/.test(line));
  if (head && head[1].endsWith(path.basename(file))) {
    return { line: Number(head[2]), column: caret ? caret.indexOf('^') + 1 : 1 };
  }
  for (const line of lines) {
    const at = line.lastIndexOf(`${path.basename(file)}:`);
    const found = at < 0 ? null : /^[^:]*:(\d+):(\d+)/.exec(line.slice(at));
    if (found) return { line: Number(found[1]), column: Number(found[2]) };
  }
  return {};
}

function failure(error) {
  let { message, stack, name } = Object(error);
  if (typeof stack !== 'string' && typeof message !== 'string') message = error ? `it threw ${String(error)}` : '';
  let at = place(String(stack || ''));
  if (name === 'SyntaxError' && !at.line && kind !== 'json') {
    // Of an ES module only `--check` says where.
    const { stderr } = require('child_process').spawnSync(process.execPath, ['--check', file], { encoding: 'utf8' });
    at = place(String(stderr || ''));
  }
  const missing = /^Cannot find (?:module|package) '([^']*)'/.exec(message || '');
  say({ error: Object.assign({ message: String(message || '').split('\n')[0], missing: missing && missing[1] }, at) });
}

async function load() {
  if (kind === 'json') {
    const text = fs.readFileSync(0, 'utf8');
    return require('vm').runInThisContext(`(${text}\n)`, { filename: file, columnOffset: -1 });
  }
  const module = await import(require('url').pathToFileURL(path.resolve(file)).href);
  let value = module.default === undefined ? module : module.default;
  if (value && value.__esModule && value.default !== undefined) value = value.default;
  value = await value;
  return typeof value === 'function' ? value.call(Object.freeze(Object.create(null))) : value;
}

process.on('uncaughtException', failure);
process.on('unhandledRejection', failure);
if (kind === 'finalpm') process.send = (message) => (message && message.error ? failure(message.error) : result(message));
load().then(
  (value) => {
    result(value);
    // PM2 ends once it has the value, whatever the config has left running; FinalPM waits for all of it.
    if (kind !== 'finalpm') setImmediate(() => process.exit(0));
  },
  (error) => {
    failure(error);
    process.exit(1);
  },
);
