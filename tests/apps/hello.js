// A small HTTP server as people write them: answers who it is, and ends its open requests before it exits.
'use strict';
const http = require('node:http');

const port = Number(process.env.PORT || 3000);
const instance = process.env.STEAD_INSTANCE || '0';

const server = http.createServer((request, response) => {
  response.setHeader('content-type', 'text/plain');
  response.end(`hello from instance ${instance}, pid ${process.pid}\n`);
});

server.listen(port, () => console.log(`listening on port ${port}`));

// Node's users stop with SIGINT; a container runtime would send SIGTERM. Both mean the same here.
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    console.log(`${signal}: no new connections, finishing the open ones`);
    server.close(() => process.exit(0));
    server.closeIdleConnections();
  });
}
