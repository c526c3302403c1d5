// The server in front of the workers.
'use strict';
const http = require('node:http');
const server = http.createServer((request, response) => response.end(`gateway ${process.pid}\n`));
server.listen(Number(process.env.PORT), '127.0.0.1', () => console.log('listening'));
process.on('SIGINT', () => server.close(() => process.exit(0)));
