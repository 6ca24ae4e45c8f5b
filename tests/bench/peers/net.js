// net.js: an echo server on Node.js:  node net.js tcp://127.0.0.1:PORT
'use strict';
const net = require('net');

const BACKLOG = 1024;

const [, host, port] = process.argv[2].match(/^tcp:\/\/(.+):(\d+)$/);
const server = net.createServer({ noDelay: true }, (socket) => {
  socket.pipe(socket);
  socket.on('error', () => socket.destroy());
});
server.listen({ host, port: Number(port), backlog: BACKLOG }, () => {
  process.stderr.write(`listening on tcp://${host}:${server.address().port}\n`);
});
