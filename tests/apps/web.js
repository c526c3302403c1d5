// A Node HTTP server that says which instance answers. `plain` as an argument: it handles no signal at all.
'use strict';
const http = require('node:http');

const me = process.env.STEAD_INSTANCE || String(process.pid);
const server = http.createServer((request, response) => {
  response.setHeader('x-instance', me);
  response.end(`instance ${me} pid ${process.pid}\n`);
});
server.listen(Number(process.env.PORT), process.env.HOST, () => console.log('listening'));

if (!process.argv.includes('plain')) {
  for (const signal of ['SIGINT', 'SIGTERM']) {
    // Node closes what is idle with the server, and what is not after its answer.
    process.on(signal, () => server.close(() => process.exit(0)));
  }
}
