// A Nest API as its users deploy it: built into dist, in cluster mode, with an environment for each stage, started from
// CI by: pm2 startOrReload ecosystem.config.js --env production
const path = require('node:path');
const { name, version } = require('./package.json');

module.exports = {
  apps: [
    {
      name: `${name}-api`,
      cwd: __dirname,
      script: 'dist/main.js',
      args: '--log-level info --banner "hello world"',
      node_args: '--max-old-space-size=256',
      exec_mode: 'cluster',
      instances: process.env.WEB_CONCURRENCY || 2,
      autorestart: true,
      watch: false,
      max_memory_restart: '512M',
      wait_ready: true,
      listen_timeout: 10000,
      kill_timeout: 5000,
      exp_backoff_restart_delay: 100,
      merge_logs: true,
      time: true,
      out_file: path.join(__dirname, 'logs/out.log'),
      error_file: path.join(__dirname, 'logs/error.log'),
      vizion: false,
      env: {
        NODE_ENV: 'development',
        PORT: process.env.PORT || 3000,
        APP_VERSION: version,
        FEATURES: { billing: false },
      },
      env_staging: {
        NODE_ENV: 'staging',
        DATABASE_URL: 'postgres://staging/shop',
      },
      env_production: {
        NODE_ENV: 'production',
        DATABASE_URL: 'postgres://production/shop',
      },
    },
    {
      name: `${name}-mailer`,
      cwd: __dirname,
      script: 'dist/mailer.js',
      exec_mode: 'fork',
      instances: 1,
      append_env_to_name: true,
      restart_delay: 3000,
      max_restarts: 10,
      min_uptime: '5s',
      env: { NODE_ENV: 'development', QUEUE: 'mail' },
      env_production: { NODE_ENV: 'production' },
    },
  ],

  deploy: {
    production: {
      user: 'deploy',
      host: ['web1', 'web2'],
      ref: 'origin/main',
      repo: 'git@example.com:shop.git',
      path: '/var/www/shop',
      'post-deploy': 'npm ci && npm run build && pm2 startOrReload ecosystem.config.js --env production',
      env: { RELEASE: 'main' },
    },
  },
};
