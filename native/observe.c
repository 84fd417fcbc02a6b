#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <pthread.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
static int report=-1; static char report_path[PATH_MAX]; static volatile pid_t child;
static char buf[1<<16]; static size_t used;
static char **table; static size_t cap, cnt;
static void flush(void){size_t o=0;while(o<used){ssize_t k=write(report,buf+o,used-o);if(k<=0)break;o+=k;}used=0;}
static int seen(const char*s){if(cnt*2>=cap){size_t n=cap?cap*2:4096;char**t=calloc(n,sizeof*t);for(size_t i=0;i<cap;i++)if(table[i]){size_t h=5381;for(const char*p=table[i];*p;p++)h=h*33+(unsigned char)*p;while(t[h&(n-1)])h++;t[h&(n-1)]=table[i];}free(table);table=t;cap=n;}size_t h=5381;for(const char*p=s;*p;p++)h=h*33+(unsigned char)*p;while(table[h&(cap-1)]){if(!strcmp(table[h&(cap-1)],s))return 1;h++;}table[h&(cap-1)]=strdup(s);cnt++;return 0;}
static void put(const char*s){size_t n=strlen(s)+1;if(used+n>sizeof buf)flush();if(n>sizeof buf)return;memcpy(buf+used,s,n);used+=n;}
static void note(char k,const char*path,const char*stamp){char key[PATH_MAX+8];snprintf(key,sizeof key,"%c%s",k,path);if(seen(key))return;if(stamp){char b[PATH_MAX+200];snprintf(b,sizeof b,"%c%s %s",k,stamp,path);put(b);}else put(key);}
static int rd(pid_t pid,uint64_t a,char*out,size_t n){size_t got=0;while(got+1<n){size_t chunk=4096-((a+got)&4095);if(chunk>n-1-got)chunk=n-1-got;struct iovec l={out+got,chunk},r={(void*)(uintptr_t)(a+got),chunk};ssize_t k=process_vm_readv(pid,&l,1,&r,1,0);if(k<=0){return 0;}if(memchr(out+got,0,k))return 1;got+=k;}out[n-1]=0;return 0;}
static int resolve(pid_t pid,int dirfd,uint64_t a,char*out){char raw[PATH_MAX];if(!a)return 0;if(!rd(pid,a,raw,sizeof raw))return -1;char full[2*PATH_MAX];if(raw[0]=='/')strcpy(full,raw);else{char l[64],b[PATH_MAX];if(dirfd==AT_FDCWD)snprintf(l,sizeof l,"/proc/%d/cwd",pid);else snprintf(l,sizeof l,"/proc/%d/fd/%d",pid,dirfd);ssize_t k=readlink(l,b,sizeof b-1);if(k<0)return -1;b[k]=0;if(!raw[0])return 0;snprintf(full,sizeof full,"%s/%s",b,raw);}
char*o=out;const char*p=full;while(*p){while(*p=='/')p++;const char*e=p;while(*e&&*e!='/')e++;size_t n=e-p;if(n==0)break;if(n==1&&*p=='.'){p=e;continue;}*o++='/';memcpy(o,p,n);o+=n;p=e;}if(o==out)*o++='/';*o=0;return 1;}
static void look(char k,const char*path,int dirlist){struct stat st;if(!strcmp(path,report_path))return;if(stat(path,&st)!=0){note('a',path,NULL);return;}if(S_ISREG(st.st_mode)){char s[160];snprintf(s,sizeof s,"%lu %lu %ld %ld %ld",(unsigned long)st.st_dev,(unsigned long)st.st_ino,(long)st.st_size,st.st_mtim.tv_sec*1000000000L+st.st_mtim.tv_nsec,st.st_ctim.tv_sec*1000000000L+st.st_ctim.tv_nsec);note(k,path,s);}else if(S_ISDIR(st.st_mode))note(dirlist?'d':'D',path,NULL);else note('o',path,NULL);}
static void wrote(const char*p){if(strcmp(p,report_path))note('w',p,NULL);}
static void handle(struct seccomp_notif*q){uint64_t*a=(uint64_t*)q->data.args;pid_t pid=q->pid;char p[3*PATH_MAX];int r=0;
#define P(dfd,arg) r=resolve(pid,dfd,arg,p)
 if(q->data.arch!=AUDIT_ARCH_X86_64){note('u',"another architecture's call",NULL);return;}
 switch(q->data.nr){
 case __NR_open:case __NR_creat:case __NR_openat:{int at=q->data.nr==__NR_openat;int fl=q->data.nr==__NR_creat?O_CREAT|O_WRONLY:(int)a[at?2:1];P(at?(int)a[0]:AT_FDCWD,a[at?1:0]);if(r==1){if((fl&O_ACCMODE)!=O_RDONLY||fl&(O_CREAT|O_TRUNC)){struct stat st;if(stat(p,&st)==0&&!S_ISREG(st.st_mode))note('o',p,NULL);else{if((fl&O_ACCMODE)==O_RDWR&&!(fl&O_TRUNC)&&stat(p,&st)==0)look('r',p,0);wrote(p);}}else look('r',p,1);}break;}
 case __NR_openat2:{uint64_t fl=0;struct iovec l={&fl,8},m={(void*)(uintptr_t)a[2],8};process_vm_readv(pid,&l,1,&m,1,0);P((int)a[0],a[1]);if(r==1){if((fl&O_ACCMODE)!=O_RDONLY||fl&O_CREAT)wrote(p);else look('r',p,1);}break;}
 case __NR_stat:case __NR_lstat:case __NR_access:P(AT_FDCWD,a[0]);if(r==1)look('s',p,0);break;
 case __NR_newfstatat:case __NR_statx:case __NR_faccessat:case __NR_faccessat2:P((int)a[0],a[1]);if(r==1)look('s',p,0);break;
 case __NR_execve:P(AT_FDCWD,a[0]);if(r==1){struct stat st;if(stat(p,&st)==0)note('x',p,NULL);else note('a',p,NULL);}break;
 case __NR_execveat:P((int)a[0],a[1]);if(r==1)note('x',p,NULL);break;
 case __NR_mkdir:P(AT_FDCWD,a[0]);if(r==1){struct stat st;if(stat(p,&st)!=0)wrote(p);}break;
 case __NR_mkdirat:P((int)a[0],a[1]);if(r==1){struct stat st;if(stat(p,&st)!=0)wrote(p);}break;
 case __NR_unlink:case __NR_rmdir:P(AT_FDCWD,a[0]);if(r==1)wrote(p);break;
 case __NR_unlinkat:P((int)a[0],a[1]);if(r==1)wrote(p);break;
 case __NR_rename:case __NR_link:case __NR_symlink:P(AT_FDCWD,a[1]);if(r==1)wrote(p);if(q->data.nr==__NR_rename){P(AT_FDCWD,a[0]);if(r==1)wrote(p);}break;
 case __NR_renameat:case __NR_renameat2:P((int)a[0],a[1]);if(r==1)wrote(p);P((int)a[2],a[3]);if(r==1)wrote(p);break;
 case __NR_linkat:P((int)a[2],a[3]);if(r==1&&p[0])wrote(p);break;
 case __NR_symlinkat:P((int)a[1],a[2]);if(r==1)wrote(p);break;
 case __NR_connect:{char s[128]={0};struct iovec l={s,110},m={(void*)(uintptr_t)a[1],a[2]<110?a[2]:110};process_vm_readv(pid,&l,1,&m,1,0);char t[200];snprintf(t,sizeof t,"family %d %s",*(unsigned short*)s,*(unsigned short*)s==AF_UNIX?s+2:"");note('n',t,NULL);break;}
 case __NR_io_uring_setup:note('n',"io_uring",NULL);break;
 default:{char t[64];snprintf(t,sizeof t,"call %d",q->data.nr);note('u',t,NULL);}}
 if(r==-1)note('u',"a path that cannot be read",NULL);}
#define T(n) BPF_JUMP(BPF_JMP|BPF_JEQ|BPF_K,n,0,1),BPF_STMT(BPF_RET|BPF_K,SECCOMP_RET_USER_NOTIF)
static struct sock_filter f[]={BPF_STMT(BPF_LD|BPF_W|BPF_ABS,offsetof(struct seccomp_data,arch)),BPF_JUMP(BPF_JMP|BPF_JEQ|BPF_K,AUDIT_ARCH_X86_64,1,0),BPF_STMT(BPF_RET|BPF_K,SECCOMP_RET_USER_NOTIF),BPF_STMT(BPF_LD|BPF_W|BPF_ABS,offsetof(struct seccomp_data,nr)),T(__NR_open),T(__NR_creat),T(__NR_openat),T(__NR_openat2),T(__NR_stat),T(__NR_lstat),T(__NR_newfstatat),T(__NR_statx),T(__NR_access),T(__NR_faccessat),T(__NR_faccessat2),T(__NR_execve),T(__NR_execveat),T(__NR_mkdir),T(__NR_mkdirat),T(__NR_unlink),T(__NR_rmdir),T(__NR_unlinkat),T(__NR_rename),T(__NR_renameat),T(__NR_renameat2),T(__NR_link),T(__NR_linkat),T(__NR_symlink),T(__NR_symlinkat),T(__NR_connect),T(__NR_io_uring_setup),T(__NR_chroot),T(__NR_mount),T(__NR_unshare),T(__NR_setns),T(__NR_pivot_root),BPF_STMT(BPF_RET|BPF_K,SECCOMP_RET_ALLOW)};
static void fwd(int s){if(child>0)kill(child,s);}
static void*wait_thread(void*x){(void)x;return 0;}
int main(int c,char**v){if(c<5)return 127;snprintf(report_path,sizeof report_path,"%s",v[1]);report=open(v[1],O_WRONLY|O_CREAT|O_TRUNC|O_APPEND|O_CLOEXEC,0600);int sp[2];if(report<0||socketpair(AF_UNIX,SOCK_STREAM|SOCK_CLOEXEC,0,sp)){execv(v[3],v+4);_exit(127);}
 (void)wait_thread; pid_t me=getpid(); child=fork();
 if(child==0){prctl(PR_SET_PDEATHSIG,SIGKILL);if(getppid()!=me)_exit(127);char b[PATH_MAX+4096];setenv("SCCACHE_OBSERVE",report_path,1);const char*old=getenv("LD_PRELOAD");if(v[2][0]){snprintf(b,sizeof b,"%s%s%s",v[2],old&&*old?":":"",old?old:"");setenv("LD_PRELOAD",b,1);}
  struct sock_fprog g={sizeof f/sizeof*f,f};int fd=syscall(SYS_seccomp,SECCOMP_SET_MODE_FILTER,SECCOMP_FILTER_FLAG_NEW_LISTENER|SECCOMP_FILTER_FLAG_SPEC_ALLOW,&g);if(fd<0&&errno==EACCES){prctl(PR_SET_NO_NEW_PRIVS,1,0,0,0);fd=syscall(SYS_seccomp,SECCOMP_SET_MODE_FILTER,SECCOMP_FILTER_FLAG_NEW_LISTENER|SECCOMP_FILTER_FLAG_SPEC_ALLOW,&g);}
  struct msghdr m={0};char cb[CMSG_SPACE(4)];char x=fd<0?'n':'y';struct iovec io={&x,1};m.msg_iov=&io;m.msg_iovlen=1;if(fd>=0){m.msg_control=cb;m.msg_controllen=sizeof cb;struct cmsghdr*h=CMSG_FIRSTHDR(&m);h->cmsg_level=SOL_SOCKET;h->cmsg_type=SCM_RIGHTS;h->cmsg_len=CMSG_LEN(4);memcpy(CMSG_DATA(h),&fd,4);}sendmsg(sp[0],&m,0);if(fd>=0)close(fd);execv(v[3],v+4);_exit(127);}
 int sigs[]={SIGINT,SIGTERM,SIGHUP,SIGQUIT};for(int i=0;i<4;i++){struct sigaction o;sigaction(sigs[i],NULL,&o);if(o.sa_handler!=SIG_IGN)signal(sigs[i],fwd);}
 close(sp[0]);struct msghdr m={0};char cb[CMSG_SPACE(4)];char x=0;struct iovec io={&x,1};m.msg_iov=&io;m.msg_iovlen=1;m.msg_control=cb;m.msg_controllen=sizeof cb;int fd=-1;if(recvmsg(sp[1],&m,MSG_CMSG_CLOEXEC)>0&&x=='y'&&CMSG_FIRSTHDR(&m))memcpy(&fd,CMSG_DATA(CMSG_FIRSTHDR(&m)),4);
 int st=0,reaped=0;
 if(fd<0)note('!',"no seccomp listener",NULL);else{ioctl(fd,_IOW('!',4,uint64_t),1ULL);for(;;){struct seccomp_notif q;memset(&q,0,sizeof q);if(ioctl(fd,SECCOMP_IOCTL_NOTIF_RECV,&q)<0){if(errno==EINTR)continue;if(errno==ENOENT){ if(!reaped&&waitpid(child,&st,WNOHANG)==child)reaped=1; if(reaped)break; continue;}break;}handle(&q);struct seccomp_notif_resp s={.id=q.id,.flags=SECCOMP_USER_NOTIF_FLAG_CONTINUE};ioctl(fd,SECCOMP_IOCTL_NOTIF_SEND,&s);}}
 while(!reaped&&waitpid(child,&st,0)<0&&errno==EINTR){}
 put(".");flush();if(WIFSIGNALED(st)){signal(WTERMSIG(st),SIG_DFL);raise(WTERMSIG(st));_exit(128+WTERMSIG(st));}return WEXITSTATUS(st);}
