// Serves HTTP on the first socket that it is given, and says so over Node's channel, whose fd comes behind.
const { createServer } = require('node:http');

createServer((request, response) => response.end(`pid ${process.pid}\n`)).listen({ fd: 3 }, () => process.send('ready'));
process.on('SIGINT', () => process.exit(0));
