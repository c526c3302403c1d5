// A mixed set: a Node server in front of Python and shell workers, with what people use PM2 for besides.
module.exports = {
  apps: [
    {
      name: 'gateway',
      script: './gateway.js',
      instances: 1,
      port: process.env.GATEWAY_PORT || 8080,
      watch: ['./gateway.js', './lib'],
      ignore_watch: ['node_modules', 'logs', '*.log'],
      watch_delay: 1000,
      kill_timeout: 3000,
    },
    {
      name: 'resize',
      script: './resize.py',
      interpreter: 'python3',
      interpreter_args: '-u',
      args: ['--queue', 'images', '--batch', 10],
      instances: 2,
      exec_mode: 'fork',
      increment_var: 'WORKER_PORT',
      instance_var: 'WORKER_ID',
      max_memory_restart: '200M',
      stop_exit_codes: [0],
      env: { WORKER_PORT: 9100, PYTHONPATH: './lib' },
    },
    {
      name: 'Nightly Report',
      namespace: 'reports',
      script: './report.sh',
      args: 'daily "all shops"',
      autorestart: false,
      cron_restart: '0 3 * * *',
    },
    {
      name: 'ticker',
      script: 'while true; do echo tick; sleep 1000; done',
      treekill: true,
      log_date_format: 'YYYY-MM-DD HH:mm:ss',
    },
  ],
};
