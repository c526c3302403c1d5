// What a process manager gave it, as a line of JSON in a file of its own; then it stays.
'use strict';
const fs = require('fs');
const env = {};
for (const name of Object.keys(process.env)) if (/^(T_|PORT$|NODE_ENV$|PYTHONUNBUFFERED$)/.test(name)) env[name] = process.env[name];
const number = process.env.NODE_APP_INSTANCE ?? process.env.FINAL_PM_INSTANCE_NUMBER ?? null;
const said = { args: process.argv.slice(2), options: process.execArgv, cwd: process.cwd(), env, number };
fs.writeFileSync(`${process.env.PROBE_DIR}/${process.pid}`, JSON.stringify(said));
if (process.send) process.send('ready');
process.on('SIGINT', () => process.exit(0));
setInterval(() => {}, 1 << 30);
