# -*- coding: utf-8 -*-
# Points this agent at the repository of its site, and back.
#
# Written by `waptsync agent-package`. It runs on WAPT 1.8 (Python 2.7) and 2.x
# (Python 3), so it uses nothing that only one of them knows.
from setuphelpers import *
import glob
import json
import os

import requests

uninstallkey = []

URL = @URL@
MAIN = @MAIN@
# Host packages too: without this the agent asks its WAPT server for them.
HOSTS = @HOSTS@

TIMEOUT = 10  # seconds, as the agent's own


def install():
    if not _answers(URL):
        # The agent stays as it is and tries again at its next upgrade.
        error('%s does not answer: the repository is not changed' % URL)
    _point_to(URL)
    if _present() != URL:
        _back()
        error('the agent does not take over %s' % URL)
    print('repository: %s' % URL)


def uninstall():
    _back()
    print('repository: %s' % MAIN)


def audit():
    """Comes back to the main while the site does not answer, and returns to the
    site when it does."""
    if _answers(URL):
        before = _present()
        if before == URL:
            print('OK: %s' % URL)
            return 'OK'
        _point_to(URL)
        print('from %s back to %s' % (before, URL))
        return 'WARNING'
    if _answers(MAIN):
        if _present() != MAIN:
            _back()
        print('%s does not answer: %s is used until it does' % (URL, MAIN))
        return 'WARNING'
    print('neither %s nor %s answers' % (URL, MAIN))
    return 'ERROR'


def _answers(url):
    """Asks as the agent does before it trusts a repository."""
    session = requests.Session()
    session.trust_env = False
    proxies = None
    if _option('use_http_proxy_for_repo', '0').lower() in ('1', 'true', 'yes', 'on'):
        proxy = _option('http_proxy', '')
        if proxy:
            proxies = {'http': proxy, 'https': proxy}
    try:
        r = session.head(url + '/Packages', timeout=TIMEOUT, verify=_verify(), proxies=proxies,
                         allow_redirects=True, headers={'Cache-Control': 'no-cache', 'Pragma': 'no-cache'})
    except Exception as e:
        print('%s: %s' % (url, e))
        return False
    # An agent compares Last-Modified, so a server without it would be of no use.
    if r.status_code != 200 or not r.headers.get('Last-Modified'):
        print('%s: status %s' % (url, r.status_code))
        return False
    return True


def _verify():
    value = _option('verify_cert', '1')
    if value.lower() in ('0', 'false', 'no', 'off'):
        return False
    if value.lower() in ('', '1', 'true', 'yes', 'on'):
        return True
    return value  # the path of a bundle


def _option(key, default):
    """A [wapt] section, where there is one, is read instead of [global]."""
    ini = WAPT.config_filename
    for section in ('wapt', 'global'):
        if inifile_hasoption(ini, section, key):
            return (inifile_readstring(ini, section, key) or '').strip()
    return default


def _present():
    return _option('repo_url', '').rstrip('/')


def _point_to(url):
    _write(url)
    others = _dynamic()
    if others:
        # WAPT 2.x makes wapt-get.ini anew from [default_global] and the files of
        # conf.d, the highest priority last: only a file there stays.
        values = {'name': 'waptsync-site', 'priority': 1 + max(others), 'global': {'repo_url': url}}
        if HOSTS:
            values['wapt-host'] = {'repo_url': url + '-host'}
        with open(_dynamic_file(), 'w') as f:
            json.dump(values, f, indent=2, sort_keys=True)
    WAPT.reload_config_if_updated()


def _back():
    if os.path.exists(_dynamic_file()):
        os.remove(_dynamic_file())
    _write(MAIN)
    WAPT.reload_config_if_updated()


def _write(url):
    ini = WAPT.config_filename
    inifile_writestring(ini, 'global', 'repo_url', url)
    # What wapt-get.ini is made anew from, as soon as conf.d has a file.
    if inifile_hasoption(ini, 'default_global', 'repo_url'):
        inifile_writestring(ini, 'default_global', 'repo_url', url)
    if inifile_hasoption(ini, 'wapt', 'repo_url'):
        inifile_writestring(ini, 'wapt', 'repo_url', url)
    if HOSTS:
        inifile_writestring(ini, 'wapt-host', 'repo_url', url + '-host')


def _dynamic_dir():
    return os.path.join(os.path.dirname(WAPT.config_filename), 'conf.d')


def _dynamic_file():
    return os.path.join(_dynamic_dir(), 'waptsync-site.json')


def _dynamic():
    """The priorities of the other files of conf.d."""
    found = []
    for path in glob.glob(os.path.join(_dynamic_dir(), '*.json')):
        if path == _dynamic_file():
            continue
        try:
            with open(path) as f:
                found.append(int(json.load(f).get('priority') or 0))
        except Exception as e:
            print('%s: %s' % (path, e))
            found.append(0)
    return found
