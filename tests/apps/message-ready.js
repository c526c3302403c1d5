// Tells its parent over Node's IPC channel that it is ready, then stays. `argv[2]` delays the message by that many ms.
'use strict';
if (!process.send) {
  console.error('no IPC channel: NODE_CHANNEL_FD is not set');
  process.exit(2);
}
setTimeout(() => {
  process.send('ready');
  console.log('ready sent');
}, Number(process.argv[2] || 0));
process.on('message', (message) => console.log(`message ${JSON.stringify(message)}`));
// A channel that closes must not end the app: the manager's daemon may be restarted under it.
process.on('disconnect', () => console.log('disconnected'));
setInterval(() => {}, 1 << 30);
process.on('SIGINT', () => process.exit(0));
