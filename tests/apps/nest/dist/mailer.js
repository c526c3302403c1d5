// A queue worker that must not run twice at once.
'use strict';
console.log(`mailer of ${process.env.QUEUE}, ${process.env.NODE_ENV}, from ${process.cwd()}`);
const timer = setInterval(() => {}, 1 << 30);
process.on('SIGINT', () => clearInterval(timer));
