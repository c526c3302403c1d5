// Ignores every signal that can be ignored, and says so: only SIGKILL ends it.
'use strict';
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2']) {
  process.on(signal, () => console.log(`ignoring ${signal}`));
}
console.log('ready to ignore');
setInterval(() => {}, 1 << 30);
