// What `nest build` leaves, without the framework: listens, says that it is ready, and closes what is open when asked to stop.
'use strict';
const http = require('node:http');

const said = () => ({
  pid: process.pid,
  args: process.argv.slice(2),
  options: process.execArgv,
  cwd: process.cwd(),
  env: Object.fromEntries(['NODE_ENV', 'PORT', 'APP_VERSION', 'FEATURES', 'DATABASE_URL', 'RELEASE'].map((name) => [name, process.env[name]])),
  number: process.env.NODE_APP_INSTANCE,
});
const server = http.createServer((request, response) => response.end(JSON.stringify(said())));
server.listen(Number(process.env.PORT), '127.0.0.1', () => {
  console.log(`listening, ${process.env.NODE_ENV}`);
  if (process.send) process.send('ready');
});
process.on('SIGINT', () => server.close(() => process.exit(0)));
