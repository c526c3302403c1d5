// Node's own way to share a port: the primary listens and hands each connection to one of its workers, which run web.js.
//
//     node cluster.js WORKERS
'use strict';
const cluster = require('node:cluster');

if (cluster.isPrimary) {
  for (let left = Number(process.argv[2]); left > 0; left--) cluster.fork();
} else {
  require('./web.js');
}
